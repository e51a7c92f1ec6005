"""The command line. Each verb has a file of its own; this one opens the door and reports errors.

Verb modules import only typer (and rich where they print) at the top: whatever is heavy is imported
inside the verb, so that ``--help`` answers at once. A call that names its verb loads that one alone.
"""

import errno
import inspect
import io
import os
import re
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Annotated, Any

import typer

#: Modules of the verbs, in the order of the help.
_VERBS = (
    "audit",
    "estimate",
    "count",
    "run",
    "top",
    "import_",
    "hardware",
    "regimes",
    "doctor",
    "case",
    "seal",
    "verify",
    "merge",
    "keygen",
    "amend",
    "report",
    "view",
    "version",
)


@cache
def _opened(verbs: tuple[str, ...]) -> typer.Typer:
    app = typer.Typer(
        name="flopledger",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    for verb in verbs:
        import_module(f"flopledger.commands.{verb}").register(app)
    app.callback()(_door)
    _keep_examples(app)
    return app


def _keep_examples(app: typer.Typer) -> None:
    """Leave each example in one line, however narrow the help is: somebody copies it."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _keep_examples(group.typer_instance)
            group.typer_instance.info.help = _unfolded(group.typer_instance.info.help)
    for verb in app.registered_commands:
        verb.help = _unfolded(verb.help or getattr(verb.callback, "__doc__", None))


def _unfolded(text: object) -> str | None:
    """Mark the paragraph of the example as one that is not to be folded (``\\b``, as click has it)."""
    if not isinstance(text, str):
        return None  # python -OO takes docstrings away
    paragraphs = inspect.cleandoc(text).split("\n\n")
    marked = [
        "\b\n" + " ".join(one.split()) if one.startswith("Example:") else one for one in paragraphs
    ]
    return "\n\n".join(marked)


def _tell(wanted: bool) -> None:
    if wanted:
        from flopledger import __version__

        typer.echo(f"flopledger {__version__}")
        raise typer.Exit


def _door(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell, is_eager=True, help="Say which version this is."),
    ] = False,
) -> None:
    """Settle how much compute a model's training took, and whether a claim about it holds.

    \b
    To begin:
      flopledger estimate --parameters 8e9 --tokens 15e12 --sequence 8192
      flopledger count config.json --sequence 8192
      flopledger run --out runs/today -- python train.py
      flopledger case new case.toml      # to fill in, then: flopledger audit case.toml
    """


def door(arguments: Sequence[str] = ()) -> typer.Typer:
    """Give the command line: with the verb that ``arguments`` begin with, else with all of them."""
    named = [verb for verb in _VERBS if list(arguments[:1]) == [verb.rstrip("_")]]
    # The shell's completion asks for the words of every verb.
    return _opened(tuple(named) if named and "_FLOPLEDGER_COMPLETE" not in os.environ else _VERBS)


def __getattr__(name: str) -> Any:
    """Give ``app``, the whole command line, to who documents or tests it."""
    if name == "app":
        return door()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit code, as docs/reference/command-line.md lists them."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = _take_debug(arguments)
    _print_anything()
    try:
        _refuse_empty(arguments)
        shown = door(arguments)
        outcome = shown(args=arguments, prog_name="flopledger", standalone_mode=False)
        if isinstance(sys.stdout, io.TextIOBase):  # it is None where the caller closed it
            sys.stdout.flush()  # a full disk is told here, not by Python while it exits
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _reader_went_away()
    except SystemExit as end:  # rich turns a broken pipe into this, with the code of a verdict
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return _reader_went_away()
    except Exception as error:  # noqa: BLE001 - the one place where an error becomes a message
        if debug and not _is_usage(error):
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            _drop_output()
        return _report(error, arguments)
    return outcome if isinstance(outcome, int) else 0


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty word before it is read as the current folder: a shell's variable that is not set.

    What `run` starts may have empty words of its own.
    """
    from flopledger.errors import FlopledgerError

    running = list(arguments[:1]) == ["run"]
    for before, word in pairwise(arguments):
        if word == "--" or (running and "-" not in (word[:1], before[:1]) and before != "run"):
            return
        if word and not re.fullmatch(r"--[a-z-]+=", word):
            continue
        name = word or (before if before.startswith("-") else "")
        where = f"nothing stands after {name.rstrip('=')}" if name else "an argument is empty"
        raise FlopledgerError(f"{where}: a variable of the shell that is not set, perhaps")


def _print_anything() -> None:
    """Let every title and file name be printed: what the encoding lacks is written as its number.

    That goes for UTF-8, too: a file's name may be no text, and JSON must be text all the same.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _reader_went_away() -> int:
    """End as other tools do when `| head` has seen enough: 128 and SIGPIPE, which is no verdict."""
    _drop_output()
    return 141


def _drop_output() -> None:
    """Send what is still to be written nowhere; Python would complain while flushing at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _take_debug(arguments: list[str]) -> bool:
    """Remove ``--debug`` wherever it stands before a ``--`` and say whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if "--debug" not in arguments[:end]:
        return False
    arguments.remove("--debug")
    return True


def _say_what_was_found(error: Any, arguments: Sequence[str]) -> None:
    """Add the value to a usage error that says only what it should have been."""
    if len(arguments) > 1 and arguments[0].startswith("-") and hasattr(error, "option_name"):
        error.possibilities = None
        error.message += "; what a verb takes stands after it: flopledger VERB ... OPTIONS"
    names = getattr(getattr(error, "param", None), "opts", ())
    for name in names:
        for at, word in enumerate(arguments):
            value = arguments[at + 1] if word == name and at + 1 < len(arguments) else None
            if word.startswith(f"{name}="):
                value = word.partition("=")[2]
            if value is not None and repr(value) not in error.message:
                numbers = "parse string as a number" in error.message
                error.message += f" (found {value[:60]!r}{_written(value) if numbers else ''})"
                return


def _written(value: str) -> str:
    """Say how the number that was meant is written: without a suffix, per cent as a fraction."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([%KMBGT])", value.strip(), re.IGNORECASE)
    if found is None:
        return "; write it like 8e9 or 0.4"
    power = {"%": -2, "k": 3, "m": 6, "b": 9, "g": 9, "t": 12}[found[2].lower()]
    meant = float(found[1]) * 10.0**power
    return f"; write {meant:.6g}" if power < 0 else f"; write {found[1]}e{power}"


def _is_usage(error: Any) -> bool:
    """Say whether the command line itself was wrong, which no traceback explains."""
    return hasattr(error, "show") and hasattr(error, "exit_code")


def _report(error: Any, arguments: Sequence[str]) -> int:
    from flopcount.errors import FlopcountError
    from flopledger.errors import NO_TEXT, FlopledgerError
    from flopledger.unseen import message, visible
    from hardware_db.errors import HardwareError
    from profilers.errors import ProfilersError

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        return 130
    if _is_usage(error):
        _say_what_was_found(error, arguments)
        error.show()
        return 2
    if isinstance(error, FlopledgerError | FlopcountError | HardwareError | ProfilersError):
        typer.echo(f"error: {message(str(error))}", err=True)
        return 2
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        typer.echo(f"error: {NO_TEXT}", err=True)
        return 2
    if isinstance(error, OSError):
        what = visible(f"{error.filename or 'output'}: {error.strerror or error}")
        typer.echo(f"error: {what}", err=True)
        return 2
    what = visible(f"{type(error).__name__}: {error}")
    typer.echo(
        f"error: flopledger failed on its own account: {what}\n"
        "  run the same command with --debug for the traceback, and please report it",
        err=True,
    )
    return 2
