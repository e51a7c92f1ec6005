"""What goes wrong when recorded telemetry is read."""

from profilers.errors import ProfilersError


class ImportFormatError(ProfilersError):
    """A recording that cannot be used: names the file, the place, what was found and the cure."""

    def __init__(self, what: str, *, file: str = "", line: int | None = None) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {what}" if place else what)
        self.line = line


class UnknownFormatError(ImportFormatError):
    """No importer recognises the content."""


class LimitError(ImportFormatError):
    """The file is larger, longer or deeper than an importer will read."""
