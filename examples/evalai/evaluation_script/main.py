"""Hands a submission to flopledger and its answer back to EvalAI.

EvalAI's own worker images run Python 3.7 to 3.9, flopledger needs 3.11: so this file is written for
the old one, and asks a newer interpreter where this one cannot import flopledger. Set
FLOPLEDGER_PYTHON to that interpreter in the worker's image; python3.14 to python3.11 are tried
without it. Nothing of a submission is executed, and its check has limits of its own.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path


def evaluate(test_annotation_file, user_submission_file, phase_codename, **kwargs):
    """Score one submission; EvalAI calls this."""
    try:
        from flopledger.integrations.evalai import evaluate as here
    except (ImportError, SyntaxError):
        return _elsewhere(test_annotation_file, user_submission_file, phase_codename)
    return here(test_annotation_file, user_submission_file, phase_codename, **kwargs)


def _elsewhere(annotation, submission, phase):
    """Ask another interpreter; the submission is only ever a file name to it."""
    command = [_interpreter(), "-I", "-m", "flopledger.integrations.evalai"]
    paths = [str(Path(file).resolve()) for file in (annotation, submission)]
    # No limit of time here: the check has its own.
    done = subprocess.run([*command, *paths, phase], capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode("utf-8", "replace")[-2000:])
    return json.loads(done.stdout.decode("utf-8"))


def _interpreter():
    names = [os.environ.get("FLOPLEDGER_PYTHON")]
    names += [f"python3.{minor}" for minor in (14, 13, 12, 11)]
    for name in names:
        found = shutil.which(name) if name else None
        if found:
            return found
    raise RuntimeError(
        "no interpreter with flopledger: build a worker image with Python 3.11 or newer, "
        "pip install flopledger, and set FLOPLEDGER_PYTHON"
    )
