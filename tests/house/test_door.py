"""The command line as others rely on it: verbs, options, exit codes, speed of --help."""

import errno
import io
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
from profilers.importers import import_files
from profilers.importers.errors import ImportFormatError

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
        "--pdf", "--markdown", "--csv", "--json",
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


HELP = """
import contextlib, io, json, sys
from flopledger.commands import main
told = {}
for verb in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main([*verb.split(), "--help"])
    heavy = {"torch", "plotly", "numpy", "transformers", "pyarrow"} & set(sys.modules)
    told[verb] = code, said.getvalue(), sorted(heavy)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def helped(root: Path) -> dict[str, tuple[int, str, list[str]]]:
    """Exit code and words of each verb's help, and what is imported by then: all in one process."""
    verbs = json.dumps(["", *sorted(_commands())])
    done = subprocess.run(
        [sys.executable, "-c", HELP, verbs], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("verb", ["", *sorted(_commands())])
def test_help_imports_nothing_heavy(
    verb: str, helped: dict[str, tuple[int, str, list[str]]]
) -> None:
    code, said, heavy = helped[verb]
    assert (code, heavy) == (0, [])
    assert "Usage: flopledger" in said


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


@pytest.mark.parametrize(
    ("written", "meant"),
    [("8B", "8e9"), ("1.5T", "1.5e12"), ("40%", "0.4"), ("many", "it like 8e9 or 0.4")],
)
def test_a_number_that_is_none_is_told_how_to_write_it(
    written: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", "--parameters", written]) == 2
    assert f"(found {written!r}; write {meant})" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--debug"], ["version", "--nope", "--debug"]])
def test_a_wrong_command_line_needs_no_traceback(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "Usage:" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("verb", ["hardware", *sorted(_commands())])
def test_an_example_is_one_line_that_can_be_copied(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    main([*verb.split(), "--help"])
    shown = capsys.readouterr().out
    written = {**_commands(), "hardware": typer.main.get_command(app).commands["hardware"]}[
        verb
    ].help
    (example,) = (one for one in written.split("\n\n") if "Example:" in one)
    assert " ".join(example.replace("\b", "").split()) in [
        line.strip() for line in shown.splitlines()
    ]


def test_no_option_takes_a_programmers_type(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in _commands():
        main([*verb.split(), "--help"])
        assert re.findall(r"--[a-z-]+ +<(?:list|[a-z]+,).*", capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("words", "both"),
    [
        (["count", "config.json", "--csv", "--json"], "--csv and --json"),
        (["count", "config.json", "--quick", "--crosscheck"], "--quick and --crosscheck"),
        (["hardware", "list", "--csv", "--json"], "--csv and --json"),
    ],
)
def test_of_two_options_none_is_passed_over(
    words: list[str], both: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert f"{both}: give one or the other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bundle", "told"),
    [("b.zip", "no such key file"), ("nowhere/b.zip", "no such folder")],
)
def test_what_a_bundle_lacks_is_told_before_the_audit(
    bundle: str, told: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = str(root / "examples/opt-175b/case.toml")
    key = str(tmp_path / "no.key")
    assert main(["audit", case, "--bundle", str(tmp_path / bundle), "--key", key]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--appnd", "--", "true"], "No such option: --appnd"),
        (["run", "--source", "nvlm", "--", "true"], "no instrument of this name; known: nvml"),
        (["run", "--source", "dcgm=host:9400", "--", "true"], "not a web address"),
        (["run", "--source", "replay", "--", "true"], "give the record to replay"),
        (["run", "--source", "nvml=0", "--", "true"], "nvml takes no value"),
        (["run", "--append", "--", "true"], "say which record goes on, with --out DIR"),
        (["run", "--", ""], "the command's name is empty"),
        (["top", "--source", "nvlm", "--once"], "no instrument of this name"),
        (["doctor", "--dcgm", "host:9400"], "--dcgm host:9400: not a web address"),
    ],
)
def test_a_misspelt_instrument_is_told_before_the_run(
    words: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--accelerator", "RTX 9999", "--accelerator-hours", "3"],
            "error: --accelerator: 'RTX 9999'",
        ),
        (["--config", "nowhere.json", "--tokens", "1e9"], "error: --config: no such file"),
        (["--precision", "bf61", "--parameters", "1e9", "--tokens", "1e9"], "error: --precision: "),
    ],
)
def test_estimate_speaks_of_options_by_their_names(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", *words]) == 2
    assert capsys.readouterr().err.startswith(told)


def test_what_cannot_be_given_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--tokens", "1e9"]) == 3
    told = capsys.readouterr().out.splitlines()[2]  # below title and verdict
    assert told.lower().count("no figure can be given") == 1


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ('DCGM_OTHER{gpu="0"} 1.5e3\n', True),
        ("node_load1 0.42 1767225600000\n", True),
        ("# TYPE up gauge\nup 1\n", True),
        ("Some examples\nof exact enumeration\nVersion 2\n", False),
    ],
)
def test_prose_is_no_prometheus_text(text: str, is_one: bool, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text(text)
    with pytest.raises(ImportFormatError) as found:
        import_files([str(tmp_path / "page.txt")], tmp_path / "out")
    assert ("is Prometheus text" in str(found.value)) == is_one


def test_a_file_that_is_not_there_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = str(tmp_path / "map.toml")
    main(["import", __file__, "--mapping", lost, "--out", str(tmp_path / "out")])
    told = capsys.readouterr().err
    assert told == f"error: {lost}: the mapping file cannot be read: No such file or directory\n"


def test_a_run_that_failed_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "run")
    assert main(["run", "--quiet", "--out", folder, "--", "false"]) == 1
    capsys.readouterr()
    main(["report", folder])
    assert "  the command ended with exit code 1\n" in capsys.readouterr().out
    main(["top", folder, "--once"])
    assert "no device is on record" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit", ""], "an argument is empty"),
        (["audit", "case.toml", "--html", ""], "nothing stands after --html"),
        (["run", "--out", "", "--", "true"], "nothing stands after --out"),
        (["run", "--out=", "true"], "nothing stands after --out"),
        (["case", "new", ""], "an argument is empty"),
    ],
)
def test_an_empty_word_is_not_this_folder(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "a variable of the shell that is not set" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("separator", [["--"], []])
def test_empty_words_of_the_command_that_is_run_are_its_own(
    separator: list[str], tmp_path: Path, root: Path
) -> None:
    words = ["run", "--no-steps", "--out", str(tmp_path / "r"), *separator, "printf", "[%s]", ""]
    done = _flopledger(words, root, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, "[]")


def test_an_option_before_its_verb_is_told_where_it_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--json", "version"]) == 2
    assert "what a verb takes stands after it: flopledger VERB" in capsys.readouterr().err


def test_json_for_nobody_is_no_error(root: Path) -> None:
    words = [sys.executable, "-m", "flopledger", "hardware", "list", "--json"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *words], cwd=root, timeout=60, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("verb", ["report", "case"])
def test_a_full_disk_names_the_file_and_leaves_nothing(
    verb: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    class Full(io.FileIO):
        def write(self, data: object, /) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(self: Path, mode: str = "r", **given: str) -> TextIO:
        return io.TextIOWrapper(io.BufferedWriter(Full(self, mode)), encoding="utf-8")

    out = tmp_path / ("r.md" if verb == "report" else "new.toml")
    if verb == "report":
        monkeypatch.setattr(os, "fdopen", lambda handle, mode: io.BufferedWriter(Full(handle, "w")))
        words = [
            "report",
            str(root / "examples/opt-175b/case.toml"),
            "--out",
            str(out),
            "--no-trace",
        ]
    else:
        monkeypatch.setattr(Path, "open", opened)
        words = ["case", "new", str(out)]
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {out}: No space left on device\n"
    assert list(tmp_path.iterdir()) == []


def test_the_first_help_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.partition("To begin:\n")[2].partition("\n\n")[0].splitlines()
    words = [line.split() for line in lines]
    assert {one[0] for one in words} == {"flopledger"}
    known = {name.split()[0] for name in _commands()}
    assert [one[1] for one in words if one[1] not in known] == []
    assert len(lines) == 4


def test_the_seed_s_default_is_the_one_that_is_said() -> None:
    from flopledger.auditing import DEFAULT_SEED
    from flopledger.commands._options import Seed

    assert f"(default: {DEFAULT_SEED})" in Seed.__metadata__[0].help
