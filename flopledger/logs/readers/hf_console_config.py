"""The model configuration that transformers prints into a console log."""

import re
from typing import Any

from flopledger import foreign_json
from flopledger.facts import Grade
from flopledger.logs.architecture import from_config
from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_number

_BEGIN = re.compile(r"\bModel config (\w{2,60}) \{\s*$")
_OVERRIDE = re.compile(r"\bOverriding config: ([\w=.,+-]{3,2000})\s*$")
_LINES = 400


class Configs:
    """Collects the printed configurations; ranks and tokenizers print the same one again."""

    def __init__(self) -> None:
        self._open: list[str] | None = None
        self._begin = 0
        self._found: list[tuple[int, dict[str, Any]]] = []
        self._overrides: dict[str, int] = {}

    def take(self, number: int, text: str) -> None:
        """Look at one line."""
        if match := _OVERRIDE.search(text):
            pairs = (pair.partition("=") for pair in match[1].split(","))
            self._overrides |= {
                key: value for key, _, word in pairs if isinstance(value := parse_number(word), int)
            }
        elif _BEGIN.search(text):
            self._open, self._begin = ["{"], number
        elif self._open is not None:
            self._open.append(text)
            if text.rstrip() == "}":
                self._close()
            elif len(self._open) > _LINES:
                self._open = None

    def _close(self) -> None:
        assert self._open is not None
        config = foreign_json.table("\n".join(self._open))
        self._open = None
        if config is not None:  # else lines of another rank stand in between
            self._found.append((self._begin, config))

    def note(self, notes: Notes) -> None:
        """Write the shape down, unless the log holds different ones."""
        shapes = []
        for number, config in self._found:
            numbers = {
                key: value
                for key, value in (config | self._overrides).items()
                if isinstance(value, int) and (isinstance(value, bool) or value > 0)
            }
            kind = config.get("model_type")
            if isinstance(kind, str):
                shapes.append((number, kind, *from_config(kind, numbers)))
        if not shapes or any(one[1:] != shapes[0][1:] for one in shapes):
            return
        number, kind, dimensions, _ = shapes[0]
        notes.fact("model_type", kind, line(number), grade=Grade.STATEMENT)
        for key, value in (dimensions or {}).items():
            notes.fact(f"architecture.{key}", value, line(number), grade=Grade.STATEMENT)
