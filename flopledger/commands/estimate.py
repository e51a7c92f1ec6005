"""``flopledger estimate``: the audit's answer without a claim, from a case or from the options."""

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flopledger.commands._options import Seed, Trace

if TYPE_CHECKING:
    from flopledger.cases.case import AuditCase


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("estimate", short_help="The same answer without a claim, from whatever is known")(
        estimate
    )


def estimate(
    case: Annotated[
        Path | None,
        typer.Argument(
            metavar="CASE.toml | RUN_DIR | LOG",
            help="A case file, whose claim is ignored, a run's record, or a log.",
        ),
    ] = None,
    *,
    parameters: Annotated[float | None, typer.Option(help="Parameters, all of them.")] = None,
    active_parameters: Annotated[
        float | None, typer.Option(help="Parameters that one token meets (mixture of experts).")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The model's config.json.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Tokens processed, all epochs.")] = None,
    sequence: Annotated[int | None, typer.Option(help="Training sequence length.")] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="Kind of run: pretraining, lora, ...; without it what the evidence says, else pretraining."
        ),
    ] = None,
    trainable_parameters: Annotated[
        float | None, typer.Option(help="Parameters that receive gradients, if not all.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="bf16, fp8, ...")] = None,
    accelerator: Annotated[str | None, typer.Option(help="Name of the part.")] = None,
    accelerator_count: Annotated[float | None, typer.Option(help="Devices used.")] = None,
    accelerator_hours: Annotated[
        float | None, typer.Option(help="Hours of all devices together.")
    ] = None,
    wall_clock_hours: Annotated[float | None, typer.Option(help="Hours by the clock.")] = None,
    mfu: Annotated[float | None, typer.Option(help="Model FLOP utilisation, a fraction.")] = None,
    seed: Seed = None,
    trace: Trace = True,
    html: Annotated[Path | None, typer.Option("--html", help="Write an HTML report.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> int:
    """Estimate training compute as an interval, from whatever is known.

    Of a run's record it says what was counted so far, and when each threshold will be crossed at
    the pace seen. A log or another document of a run is read as a case's evidence would be.

    Exit code 0 if there is a figure, 1 if the inputs contradict each other, 2 for bad input,
    3 if no figure can be given.

    Example: flopledger estimate --parameters 8e9 --tokens 15e12 --sequence 8192
    """
    from flopledger.auditing import DEFAULT_SEED, audit
    from flopledger.commands._audited import check_target
    from flopledger.commands._waiting import waiting
    from flopledger.commands.audit import show
    from flopledger.errors import CaseError

    check_target(html)
    run = {
        "tokens": tokens,
        "sequence_length": sequence,
        "trainable_parameters": trainable_parameters,
        "precision": precision,
        "accelerator": accelerator,
        "accelerator_count": accelerator_count,
        "accelerator_hours": accelerator_hours,
        "wall_clock_hours": wall_clock_hours,
        "mfu": mfu,
        "kind": kind,
    }
    model = {
        "parameters": parameters,
        "active_parameters": active_parameters,
        "config": None if config is None else str(config),
    }
    with waiting("estimating"):
        try:
            described = _described(case, run, model)
            report = audit(described, seed=DEFAULT_SEED if seed is None else seed, trace=trace)
        except CaseError as error:
            raise CaseError(_by_option(str(error))) from None
    try:
        show(report, as_json=as_json)
    finally:  # as `audit`
        if html is not None:
            report.save(html)
            typer.echo(f"report: {html}", err=True)
    if str(report.verdict) == "inconsistent":
        return 1
    return 3 if report.combined is None else 0


def _described(path: Path | None, run: dict[str, Any], model: dict[str, Any]) -> "AuditCase":
    """Take the case from the file without its claim, or make one of the options."""
    from flopledger.cases.case import AuditCase
    from flopledger.errors import CaseError

    known = {key: value for key, value in run.items() if value is not None}
    described = {key: value for key, value in model.items() if value is not None}
    if path is not None and (path.is_dir() or _is_evidence(path)):
        if path.is_dir():
            _check_record(path)
        folder, name = _place(path)
        # A folder may be called `run[1]`, which is no pattern.
        run_options = known | {"name": name, "evidence": [glob.escape(name)]}
        content = _with_model(run_options, _beside(folder, described))
        return AuditCase.of_options({"title": f"Estimate of {name}"} | content, folder)
    if path is not None:
        if known or described:
            given = ", ".join(f"--{key.replace('_', '-')}" for key in (*known, *described))
            raise CaseError(f"{path}: a case file and {given}: give one or the other")
        return _case_file(path).without_claim()
    if not known and not described:
        raise CaseError("nothing to estimate from: give a case file, or options such as --tokens")
    home = _place(Path(described["config"]))[0] if "config" in described else None
    content = _with_model(known | {"name": "1"}, _beside(home, described))
    return AuditCase.of_options(content, home)


def _place(path: Path) -> tuple[Path, str]:
    """Split what was named into its folder and its name: reports show the second alone."""
    whole = path.absolute()
    if whole.name in {"", ".."}:
        whole = whole.resolve()
    return whole.parent, whole.name or "run"


def _beside(folder: Path | None, described: dict[str, Any]) -> dict[str, Any]:
    """Name a configuration as it is reached from a folder."""
    if folder is None or "config" not in described:
        return described
    home, name = _place(Path(described["config"]))
    if home != folder:  # links are resolved before the way between two folders is told
        name = os.path.relpath(home.resolve() / name, folder.resolve())
    return described | {"config": name}


def _case_file(path: Path) -> "AuditCase":
    from flopledger.cases.case import AuditCase
    from flopledger.errors import CaseError

    try:
        return AuditCase.load(path)
    except CaseError as error:
        if path.suffix == ".toml" or not path.is_file():
            raise
        told = _what_it_is(path)
        message = (
            f"{path}: no log or document that any reader knows, and no case file either: "
            f"{told or error}"
        )
        raise CaseError(message) from None


def _what_it_is(path: Path) -> str | None:
    """Say what a file that no reader takes seems to be, and what would be read in its place."""
    from flopledger.logs.document import Document
    from flopledger.logs.unread import why

    told = why(Document(path, path.name))
    return None if told is None else f"it {told}"


def _is_evidence(path: Path) -> bool:
    """Say whether a file is one that a case would list, and no case; a missing one is a case."""
    from flopledger.logs.document import Document
    from flopledger.logs.reading import recognise

    if path.suffix == ".toml" or not path.is_file():
        return False
    return recognise(Document(path, path.name)) is not None


#: Options that are called otherwise than the key of a case that they stand for.
_OPTIONS = {"sequence_length": "sequence"}


def _by_option(message: str) -> str:
    """Name the option that was given, where a message names the key of a case made of options."""
    found = re.match(r"options: (?:run\[0\]|model\.model)\.(\w+)", message)
    if found is None:
        return message
    option = _OPTIONS.get(found[1], found[1]).replace("_", "-")
    return f"--{option}{message[found.end() :]}"


def _with_model(run: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    if not described:
        return {"run": [run]}
    return {"run": [run | {"model": "model"}], "model": {"model": described}}


def _check_record(path: Path) -> None:
    """Raise ``CaseError`` for a folder that holds no record of a run."""
    from flopledger.errors import CaseError
    from flopledger.logs.run_records import is_record

    if not is_record(path):
        raise CaseError(
            f"{path}: a folder without a run record (telemetry/ or steps/); give a case file, or the "
            "folder that `flopledger run --out` wrote"
        )
