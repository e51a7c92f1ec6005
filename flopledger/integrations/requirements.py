"""A missing package is said with the line that installs it."""

from importlib import import_module
from typing import Any

from flopledger.errors import FlopledgerError


class MissingPackageError(FlopledgerError, ImportError):
    """A package that an integration needs is not installed; the message is the install line."""


def require(module: str, *, extra: str) -> Any:
    """Import ``module``, or raise ``MissingPackageError`` naming the extra that brings it.

    A package that is installed but fails to import raises its own error: reinstalling would not
    mend it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != top:
            raise
        raise missing(top, extra=extra) from None


def missing(package: str, *, extra: str) -> MissingPackageError:
    """Make the error for a package that is not installed."""
    return MissingPackageError(
        f'{package} is not installed; install it with: pip install "flopledger[{extra}]"'
    )


def refuse_name(run: Any, instead: str) -> None:
    """Raise ``FlopledgerError`` where a name was given in place of a tracker's run."""
    if isinstance(run, str):
        raise FlopledgerError(f"run={run!r}: a run as the tracker's init returned it; {instead}")
