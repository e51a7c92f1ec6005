"""``flopledger case``: scaffold a case file, or check one."""

from pathlib import Path
from typing import Annotated

import typer

from flopledger.commands._options import AllowOutside, AsJson

group = typer.Typer(
    help="Scaffold a case file, or check one.\n\nExample: flopledger case new case.toml",
    short_help="Scaffold a case file, or check one",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_SCAFFOLD = """\
schema = "flopledger/case/1"
title = "{title}"

# Every figure below is an example and a comment: nothing of it counts until you put in your own, and
# where it stands. An example that is left alone says nothing, so that no verdict can rest on it.

# What is said about the compute. Leave the table out to estimate without a claim.
# [claim]
# flop = 8.4e22                # the figure as printed: its digits are an interval
# basis = "unknown"            # model | hardware | unknown
# statement = "..."            # verbatim
# source = "..."               # document, page, table

# A config.json instead of parameters (config = "config.json") allows an exact count.
# [model.base]
# parameters = 7.0e9
# active_parameters = 1.3e9    # mixture of experts

[[run]]
name = "pre-training"
# kind = "pretraining"         # continued, finetuning, lora, distillation, rl, synthetic-data ...
# model = "base"               # the [model.base] above
# tokens = 2.0e12              # processed, all epochs; a range is [1.9e12, 2.1e12]
# sequence_length = 4096
# precision = "bf16"
# accelerator = "NVIDIA H100 80GB HBM3"
# accelerator_hours = 1.0e5
# mfu = 0.40                   # disclosed model FLOP utilisation
# evidence = ["logs/*.txt"]    # files or folders beside this one

# [run.sources]                # where each figure stands, by key
# tokens = "..."
# accelerator_hours = "..."

# The original's compute, where a model was trained further from another one.
# [base_model]
# flop = 8.3e23

# What only the provider knows. Bills of materials and the EU's forms ask for it.
# [release]
# version = "1.0"
# date = 2026-01-31
# provider = "Example AI Ltd"
# download_location = "https://example.org/model"
# license = "Apache-2.0"       # SPDX expression; LicenseRef-NAME with license_location otherwise
"""


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.add_typer(group, name="case")


@group.command("new", short_help="A commented case file to start from")
def new(
    path: Annotated[Path, typer.Argument(metavar="CASE.toml", help="The file to write.")],
    *,
    title: Annotated[str, typer.Option(help="Title of the case.")] = "Untitled case",
) -> None:
    """Write a commented case file to start from; an existing file is left alone.

    Example: flopledger case new case.toml --title "Example 7B"
    """
    from flopledger.errors import CaseError, naming

    if not path.parent.is_dir():
        raise CaseError(f"{path}: no such folder {path.parent}; create it first")
    safe = title.replace("\\", "\\\\").replace('"', '\\"')
    if not title.isprintable():
        raise CaseError("--title: found characters that cannot be printed")
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise CaseError(f"{path}: exists already; it is left as it is") from None
    try:
        with naming(path), file:
            file.write(_SCAFFOLD.format(title=safe))
    except OSError:
        path.unlink(missing_ok=True)  # half a scaffold would stand in the next one's way
        raise
    typer.echo(f"wrote {path}; fill it in, then: flopledger case check {path}")


@group.command("check", short_help="Is the case well formed, and all that it names there?")
def check(
    path: Annotated[Path, typer.Argument(metavar="CASE.toml", help="The case file.")],
    *,
    as_json: AsJson = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Check a case file, its models and every file that it names, without auditing it.

    Example: flopledger case check examples/llama-3.1-405b/case.toml
    """
    import json

    from flopledger.auditing import load_models
    from flopledger.cases.case import AuditCase
    from flopledger.text import plural

    case = AuditCase.load(path, allow_outside=allow_outside)
    load_models(case)  # what an audit would stop at, stops here
    files = sum(len(case.evidence(index)) for index in range(len(case.spec.run)))
    answer = {
        "case": str(path),
        "title": case.spec.title,
        "models": len(case.spec.model),
        "runs": len(case.spec.run),
        "evidence_files": files,
        "sha256": case.sha256,
    }
    if as_json:
        typer.echo(json.dumps(answer))
        return
    typer.echo(
        f"{path}: valid; {plural(len(case.spec.model), 'model')}, "
        f"{plural(len(case.spec.run), 'run')}, {plural(files, 'evidence file')}"
    )


@group.command("schema", short_help="The JSON Schema of case files, for editors")
def schema() -> None:
    """Print the JSON Schema of case files, for editors that complete TOML.

    Example: flopledger case schema > case.schema.json
    """
    import json

    from flopledger.cases.case import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
