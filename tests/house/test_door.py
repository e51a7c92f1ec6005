"""The command line as others rely on it: verbs, options, exit codes, speed of --help."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest
import typer

from flopledger.commands import app, main

#: Pinned: scripts call exactly these. A verb may be added; to change or drop one, change
#: the contract in docs/reference/command-line.md first, with a major version.
OPTIONS = {
    "audit": {
        "--html", "--pdf", "--markdown", "--csv", "--json", "--seed", "--regime", "--trace",
        "--allow-outside", "--bundle", "--key",
    },
    "estimate": {
        "--parameters", "--active-parameters", "--config", "--tokens", "--sequence", "--kind",
        "--trainable-parameters", "--precision", "--accelerator", "--accelerator-count",
        "--accelerator-hours", "--wall-clock-hours", "--mfu", "--seed", "--trace", "--html",
        "--json",
    },
    "report": {
        "--format", "--out", "--created", "--seed", "--regime", "--trace", "--allow-outside", "--html",
        "--json",
    },
    "view": {"--port", "--browser", "--trace", "--json"},
    "count": {
        "--batch", "--sequence", "--mode", "--by", "--depth", "--recompute", "--convention",
        "--crosscheck", "--explain", "--html", "--csv", "--json",
    },
    "run": {"--out", "--interval", "--append", "--steps"},
    "top": {"--once", "--json"},
    "doctor": {"--calibrate", "--json"},
    "import": {"--out", "--skip-unknown", "--append", "--json"},
    "hardware list": {"--json", "--csv"},
    "hardware show": {"--json"},
    "hardware match": {"--json"},
    "hardware explain": {"--device", "--dtype", "--json"},
    "hardware instance": {"--json"},
    "hardware verify": {"--json"},
    "case new": {"--title"},
    "case check": {"--json", "--allow-outside"},
    "case schema": set(),
    "regimes list": {"--json"},
    "regimes show": {"--json"},
    "keygen": {"--out", "--passphrase", "--json"},
    "seal": {
        "--key", "--out", "--redact", "--reveal", "--summary", "--site", "--audit-id-file", "--html",
        "--at", "--seed", "--regime", "--trace", "--json",
    },
    "verify": {"--key", "--recompute", "--reveal", "--from", "--json"},
    "merge": {"--out", "--key", "--trust", "--title", "--json"},
    "amend": {"--author", "--reason", "--set", "--remove", "--time", "--json"},
    "version": {"--json"},
}  # fmt: skip


def _commands() -> dict[str, object]:
    found = {}
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        for inner, leaf in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = leaf
        if not hasattr(command, "commands"):
            found[name] = command
    return found


@pytest.mark.parametrize("verb", sorted(OPTIONS))
def test_verbs_and_options_are_kept(verb: str) -> None:
    command = _commands()[verb]
    options = {flag for one in command.params for flag in one.opts if flag.startswith("--")}
    assert options >= OPTIONS[verb]


def test_every_verb_shows_an_example() -> None:
    without = [name for name, command in _commands().items() if "Example:" not in command.help]
    assert without == []


def test_every_answering_verb_speaks_json() -> None:
    silent = {"case new", "case schema", "run", "top"}
    without = [
        name
        for name, command in _commands().items()
        if name not in silent
        and "--json" not in {flag for one in command.params for flag in one.opts}
    ]
    assert without == []


@pytest.mark.parametrize("verb", ["", *sorted(_commands())])
def test_help_imports_nothing_heavy(verb: str, root: Path) -> None:
    probe = (
        "import sys; from flopledger.commands import main\n"
        f"code = main({[*verb.split(), '--help']!r})\n"
        "heavy = {'torch', 'plotly', 'numpy', 'transformers', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: flopledger" in done.stdout


def test_bad_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-verb"]) == 2
    assert main(["audit"]) == 2
    assert main(["audit", "no-such-file.toml"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "no-such-file.toml", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["hardware list", "hardware list --csv", "doctor"])
def test_a_reader_that_goes_away_is_no_verdict(verb: str, root: Path) -> None:
    # A pipe that nobody reads any more: text of the console (rich) and plain text (typer) alike.
    read, write = os.pipe()
    os.close(read)
    done = _flopledger(verb.split(), root, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("verb", ["regimes list", "version", "--help"])
def test_a_full_disk_is_an_error(verb: str, root: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = _flopledger(verb.split(), root, stdout=full)
    assert (done.returncode, done.stderr) == (2, "error: output: No space left on device\n")


def test_a_closed_stdout_is_no_error(root: Path) -> None:
    words = [sys.executable, "-m", "flopledger", "version"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], cwd=root, timeout=60)
    assert done.returncode == 0


def test_every_title_can_be_printed(root: Path, tmp_path: Path) -> None:
    text = (root / "examples/opt-175b/case.toml").read_text("utf-8")
    title = 'title = "F\u00e4lle \u2265 \u4e2d"'
    case = tmp_path / "case.toml"
    case.write_text(re.sub(r"^title = .*$", title, text, flags=re.M), "utf-8")
    done = _flopledger(
        ["estimate", "--no-trace", str(case)],
        root,
        PYTHONIOENCODING="ascii",
        stdout=subprocess.PIPE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == r"F\xe4lle \u2265 \u4e2d"


def _flopledger(
    words: list[str], root: Path, stdout: int | TextIO, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flopledger", *words],
        cwd=root,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_talk_stays_off_stdout(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.html"
    case = str(root / "examples/opt-175b/case.toml")
    main(["audit", case, "--json", "--html", str(target)])
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema"] == "flopledger/audit/1"
    assert str(target) in captured.err
    assert target.exists()
