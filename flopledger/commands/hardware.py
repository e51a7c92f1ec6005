"""``flopledger hardware``: what a machine could do, and where each figure comes from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flopledger.commands import _hardware_text as _text
from flopledger.commands._deliver import print_json
from flopledger.commands._options import AsJson, one_of

if TYPE_CHECKING:
    from hardware_db import Accelerator, Database

group = typer.Typer(
    help="What a machine could do: accelerators, their peaks, and the source of each figure.\n\n"
    'Example: flopledger hardware explain 1979TFLOP/s --device "H100 SXM" --dtype bf16',
    short_help="What each accelerator could do, with sources",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_Own = Annotated[
    list[Path] | None,
    typer.Option(
        "--hardware-path",
        metavar="PATH",
        help="TOML file or folder with parts of your own, beside FLOPLEDGER_HARDWARE_PATH.",
    ),
]


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.add_typer(group, name="hardware")


@group.command("list")
def list_parts(
    *,
    vendor: Annotated[str | None, typer.Option(help="Only this vendor, e.g. AMD.")] = None,
    family: Annotated[
        str | None, typer.Option(help="Only this generation: hopper, tpu ...")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Only parts with a path for this format; sorted by its peak.")
    ] = None,
    min_memory: Annotated[float | None, typer.Option(help="At least this many GB.")] = None,
    name: Annotated[str | None, typer.Option(help="Only parts whose name contains this.")] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV of every figure with its source.")
    ] = False,
    as_json: AsJson = False,
    hardware_path: _Own = None,
) -> int:
    """List the accelerators on record; options narrow the list. Exit code 1 where none is left.

    Example: flopledger hardware list --family hopper --dtype bf16
    """
    from hardware_db.export import plain_part, to_csv

    one_of(csv=as_csv, json=as_json)
    every = _database(hardware_path).accelerators()
    _check_known("--vendor", vendor, {part.vendor for part in every})
    _check_known("--family", family, {part.family for part in every})
    parts = _matching(every, vendor, family, min_memory, name)
    if dtype is not None:
        parts = _by_peak(parts, dtype)
    if as_csv:
        typer.echo(to_csv(parts), nl=False)
    elif as_json:
        print_json([plain_part(part) for part in parts])
    elif parts:
        from hardware_db import dtype_name

        _text.print_table(parts, None if dtype is None else dtype_name(dtype))
    if parts:
        return 0
    typer.echo(
        f"no part on record fits all of the options ({len(every)} without any); leave one out, or ask "
        "`flopledger hardware match NAME` what a name means",
        err=True,
    )
    return 1


@group.command("show", short_help="One part: its figures, each with its source")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An id, or any name of a part.")],
    *,
    as_json: AsJson = False,
    hardware_path: _Own = None,
) -> None:
    """Show one part: its figures, and for each the source, the place in it and how it is printed.

    Example: flopledger hardware show "H100 SXM"
    """
    from hardware_db.export import plain_part

    part = _database(hardware_path).identify(name)
    if as_json:
        print_json(plain_part(part))
    else:
        _text.print_part(part)


@group.command("match", short_help="Which part each name means: exactly one, or why not")
def match(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Device names.")],
    *,
    as_json: AsJson = False,
    hardware_path: _Own = None,
) -> None:
    """Say which part each name means: exactly one, or what would decide, or unknown.

    Example: flopledger hardware match "NVIDIA H100 80GB HBM3" "A100"
    """
    database = _database(hardware_path)
    answers = [_match(database, name) for name in names]
    if as_json:
        print_json(answers)
        return
    for answer in answers:
        typer.echo(f"{answer['query']}: {answer['id'] or answer['status']}")
        if answer["message"]:
            typer.echo(f"  {answer['message']}")


@group.command("explain", short_help="A claimed peak: right, or which confusion it is")
def explain(
    value: Annotated[str, typer.Argument(metavar="VALUE", help="1979TFLOP/s, or plain FLOP/s.")],
    *,
    device: Annotated[str, typer.Option(help="The part that the claim is about.")],
    dtype: Annotated[str, typer.Option(help="The number format: bf16, fp8 ...")],
    as_json: AsJson = False,
    hardware_path: _Own = None,
) -> None:
    """Explain a claimed peak: right (exit 0), a known confusion (exit 1), or neither (exit 3).

    Example: flopledger hardware explain 1979TFLOP/s --device "H100 SXM" --dtype bf16
    """
    from hardware_db.units import parse_flop_per_second

    database = _database(hardware_path)
    part = database.identify_compute(device)
    check = database.explain_peak(parse_flop_per_second(value), part, dtype)
    if as_json:
        print_json(_plain_check(check, part, dtype))
    else:
        _text.print_check(check, part, dtype)
    raise typer.Exit(0 if check.correct else 1 if check.explanations else 3)


@group.command("instance", short_help="Which accelerators a cloud instance has, and how many")
def instance(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A cloud instance type.")],
    *,
    as_json: AsJson = False,
    hardware_path: _Own = None,
) -> None:
    """Say which accelerators a cloud instance has, and how many.

    Example: flopledger hardware instance p5.48xlarge
    """
    from hardware_db.instances import plain

    found = _database(hardware_path).instance(name)
    if as_json:
        print_json(plain(found))
        return
    typer.echo(f"{found.name} ({found.provider}): {found.count} x {found.accelerator.name}")
    typer.echo(f"  accelerator {found.accelerator.id}")
    if found.note:
        typer.echo(f"  {found.note}")
    typer.echo(f"  {found.origin.title}, {found.locator} ({found.origin.accessed})")


@group.command("verify", short_help="Every validation rule over every part and figure")
def verify(*, as_json: AsJson = False, hardware_path: _Own = None) -> None:
    """Run every validation rule over every part and figure; exit 1 where the data breaks one.

    Example: flopledger hardware verify
    """
    from dataclasses import asdict

    from hardware_db.validate import validate

    database = _database(hardware_path)
    verdict = validate(database)
    if as_json:
        print_json(asdict(verdict) | {"digest": database.digest(), "ok": not verdict.problems})
    else:
        for problem in verdict.problems:
            typer.echo(f"{problem.rule}: {problem.part}: {problem.message}")
        typer.echo(
            f"{verdict.parts} parts, {verdict.figures} dense figures: {verdict.vendor_tier} from "
            f"the vendor's publications; {verdict.checked_by_arithmetic} printed figures checked "
            f"by units x rate x clock ({verdict.waived} waived with a reason), {verdict.derived} "
            f"derived by it; {len(verdict.problems)} problems\ndigest {database.digest()}"
        )
    raise typer.Exit(1 if verdict.problems else 0)


def _database(paths: list[Path] | None) -> "Database":
    from hardware_db.database import Database, default_database, variable_paths

    return Database.load([*variable_paths(), *paths]) if paths else default_database()


def _check_known(option: str, wanted: str | None, known: set[str]) -> None:
    """Refuse a word that no part bears: an empty table would read as "they have none"."""
    if wanted is None or wanted.casefold() in {word.casefold() for word in known}:
        return
    words = ", ".join(sorted(known, key=str.casefold))
    raise typer.BadParameter(f"{option} {wanted[:60]!r}: no part has it; on record are {words}")


def _matching(
    parts: "tuple[Accelerator, ...]",
    vendor: str | None,
    family: str | None,
    min_memory: float | None,
    name: str | None,
) -> "list[Accelerator]":
    return [
        part
        for part in parts
        if (vendor is None or part.vendor.casefold() == vendor.casefold())
        and (family is None or part.family.casefold() == family.casefold())
        and (min_memory is None or (part.memory_gb is not None and part.memory_gb >= min_memory))
        and (name is None or name.casefold() in f"{part.id} {part.name}".casefold())
    ]


def _by_peak(parts: "list[Accelerator]", dtype: str) -> "list[Accelerator]":
    from hardware_db import dtype_name

    wanted = dtype_name(dtype)
    able = [part for part in parts if any(f.dtype == wanted for f in part.peaks)]
    return sorted(able, key=lambda part: -part.peak_flop_per_second(wanted))


def _match(database: "Database", name: str) -> dict[str, Any]:
    from hardware_db import AmbiguousAccelerator, UnknownAccelerator

    answer: dict[str, Any] = {"query": name, "id": None, "candidates": [], "message": None}
    try:
        part = database.identify(name)
    except AmbiguousAccelerator as error:
        candidates = [c.id for c in error.candidates]
        return answer | {
            "status": "ambiguous",
            "candidates": candidates,
            "question": error.question,
            "message": str(error),
        }
    except UnknownAccelerator as error:
        return answer | {
            "status": "unknown",
            "nearest": list(error.nearest),
            "message": str(error),
        }
    return answer | {"id": part.id, "status": "exact", "candidates": [part.id]}


def _plain_check(check: Any, part: "Accelerator", dtype: str) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "device": part.id,
        "dtype": dtype,
        "claimed_flop_per_second": check.claimed_flop_per_second,
        "correct": check.correct,
        "rated_flop_per_second": check.rated_flop_per_second,
        "source": None if check.rated is None else check.rated.source,
        "explanations": [asdict(e) for e in check.explanations],
    }
