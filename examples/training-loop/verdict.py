"""What every example ends with: write down what was claimed, and have it audited."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CASE = """\
schema = "flopledger/case/1"
title = {title}

[claim]                      # what the training itself says it took
flop = {flop}
basis = "model"
statement = "the total that the recording printed"
source = "summary() of the recording"

[model.trained]
{model}

[[run]]
name = "training"
kind = {kind}
model = "trained"
sequence_length = {sequence_length}
{extra}evidence = ["run"]             # tokens, steps and FLOP come from the record
"""


def audited(
    folder: Path,
    summary: dict[str, Any],
    *,
    title: str,
    model: str,
    sequence_length: int,
    kind: str = "pretraining",
    extra: str = "",
) -> int:
    """Write ``case.toml`` beside the record in ``folder/run``, audit it, give the exit code."""
    text = CASE.format(
        title=json.dumps(title),
        flop=summary["model_flop"],
        model=model,
        kind=json.dumps(kind),
        sequence_length=sequence_length,
        extra=extra,
    )
    (folder / "case.toml").write_text(text)
    done = ", ".join(f"{name} {summary[name]:,}" for name in ("steps", "tokens", "model_flop"))
    print(f"recorded: {done}")
    command = [sys.executable, "-m", "flopledger", "audit", str(folder / "case.toml")]
    return subprocess.run(command, check=False).returncode
