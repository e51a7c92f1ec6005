import contextlib
import os
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger.cases.case import AuditCase, json_schema, parse
from flopledger.errors import CaseError

HEAD = 'schema = "flopledger/case/1"\ntitle = "t"\n'
RUN = '[[run]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[claim]\nflop = "8e23"\n' + RUN, r"claim\.flop.*number.*'8e23'.*no unit"),
        (RUN + "tokns = 3", r"run\[0\].*unknown field `tokns`; did you mean `tokens`\?"),
        (RUN + "zzz = 3", r"run\[0\].*unknown field `zzz`; check the spelling"),
        (RUN + "[release]\nlicence = 'x'", "unknown field `licence`; did you mean `license`"),
        (RUN + 'tokens = "15T"', r"run\[0\]\.tokens.*'15T'"),
        (RUN + "tokens = nan", r"run\[0\]\.tokens.*finite"),
        (RUN + "tokens = -1", r"run\[0\]\.tokens.*above 0"),
        (RUN + "tokens = 0", r"run\[0\]\.tokens.*leave out"),
        (RUN + "tokens = true", r"run\[0\]\.tokens.*true or false"),
        (RUN + "tokens = [3, 2]", r"a range is \[low, high\]"),
        (RUN + "tokens = { at_least = 1, relative = 2 }", "at_least.*relative"),
        (RUN + "tokens = { value = 1e12, relative = 50 }", "0.05 means 5%"),
        (RUN + 'precision = "bf17"', "choose from fp64.*bf16"),
        (RUN + 'model = "b"', r"no \[model\.b\]"),
        (RUN + "sequence_length = 0", "at least 1"),
        (RUN + RUN, "used twice"),
        ('[run]\nname = "a"', "double brackets"),
        (RUN + '[run.sources]\nnope = "x"', "'nope' is no key"),
        ("[model.m]\n" + RUN, "empty; give config, architecture or parameters"),
        ("x = 1", "unknown field `x`"),
        ("", r"no \[\[run\]\]"),
        ("= 1", "not valid TOML"),
    ],
)
def test_each_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(CaseError, match=said) as caught:
        parse(HEAD + text, name="c.toml")
    assert str(caught.value).startswith("c.toml: ")


HOSTILE = {
    "arrays in arrays": ("x = " + "[" * 20_000 + "]" * 20_000, "nested deeper than 32"),
    "as deep as a parser goes": ("x = " + "[" * 33 + "]" * 33, "nested deeper than 32"),
    "a key of 500,000 parts": ("a." * 500_000 + "b = 1", r"more than 32 parts \(at line 3\)"),
    "a table of 200,000 parts": (RUN + "[" + "a . " * 200_000 + "b]", "more than 32 parts"),
    "a number of 5,000 digits": (RUN + "tokens = " + "9" * 5_000, "not valid TOML.*4300 digits"),
    "more runs than anybody lists": (
        "".join(f'[[run]]\nname = "{number}"\n' for number in range(501)),
        "501 runs; a case holds at most 500",
    ),
    "a pattern through 65 folders": (RUN + f'evidence = ["{"*/" * 64}*"]', "at most 64 folders"),
}


@pytest.mark.parametrize("text, said", HOSTILE.values(), ids=HOSTILE)
def test_a_case_made_to_break_its_reader_is_refused_at_once(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "case.toml"
    file.write_text(HEAD + text)
    with pytest.raises(CaseError, match=said):
        AuditCase.load(file)


def test_the_mark_that_editors_of_windows_put_first_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "case.toml"
    file.write_text(HEAD + RUN, encoding="utf-8-sig")
    assert AuditCase.load(file).spec.title == "t"


def test_a_future_schema_is_refused() -> None:
    with pytest.raises(CaseError, match="flopledger/case/9"):
        parse('schema = "flopledger/case/9"\ntitle = "t"\n' + RUN, name="c.toml")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(CaseError):
        parse(text, name="c.toml")


def _write(folder: Path, evidence: str) -> Path:
    path = folder / "case.toml"
    path.write_text(HEAD + RUN + f"evidence = {evidence}\n")
    return path


def test_evidence_patterns(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("b.txt", "a.txt"):
        (tmp_path / "logs" / name).write_text("x")
    case = AuditCase.load(_write(tmp_path, '["logs/*.txt", "logs/a.txt"]'))
    assert [name for name, _ in case.evidence(0)] == ["logs/a.txt", "logs/b.txt"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.txt", "no such file"),
        ("none*.txt", "no file matches"),
        ("/etc/passwd", "absolute"),
        ("../outside.txt", "outside"),
        ("link.txt", "outside"),
        ("../*.txt", "stays inside"),
        ("pipe", "device, pipe or socket"),
        ("", "empty"),
    ],
)
def test_paths_stay_inside(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    os.mkfifo(folder / "pipe")
    with pytest.raises(CaseError, match=said):
        AuditCase.load(_write(folder, f'["{name}"]'))


def test_outside_is_allowed_when_asked(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("x")
    folder = tmp_path / "case"
    folder.mkdir()
    case = AuditCase.load(_write(folder, '["../outside.txt"]'), allow_outside=True)
    assert len(case.evidence(0)) == 1


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xff\xfe", "not UTF-8"), (b"#" * (2 << 20), "larger than")]
)
def test_files_that_are_no_case(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "case.toml"
    path.write_bytes(content)
    with pytest.raises(CaseError, match=said):
        AuditCase.load(path)


def test_the_claim_keeps_its_digits(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text(HEAD + "[claim]\nflop = 3.80e25\n" + RUN)
    assert AuditCase.load(path).claim_text == "3.80e25"


def test_the_examples_fit_the_published_schema(root: Path) -> None:
    import tomllib

    schema = json_schema()
    for path in sorted(root.glob("examples/*/case.toml")):
        jsonschema.validate(tomllib.loads(path.read_text()), schema)


@pytest.mark.parametrize(
    "text",
    [
        "MIT", "Apache-2.0 OR MIT", "GPL-2.0-or-later WITH Classpath-exception-2.0", "GPL-2.0+",
        "(MIT AND BSD-3-Clause) OR LicenseRef-own", "DocumentRef-x:LicenseRef-y",
    ],
)  # fmt: skip
def test_licence_expressions(text: str) -> None:
    from flopledger.cases.release import is_expression

    assert is_expression(text)
    assert not is_expression(f"{text} AND")
    assert not is_expression(f"({text}")
    assert not is_expression(f"{text} {text}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("date = 2024-07-23T10:00:00Z", r"release\.date.*a date is written 2026-01-31"),
        ('date = "yesterday"', r"release\.date: not a date"),
        ("version = 1", r"release\.version: expected text"),
        ('version = ""', r"release\.version: empty"),
        ('provider = "a\\u202eb"', r"release\.provider: .*cannot be printed"),
        ('download_location = "javascript:alert(1)"', r"release\.download_location: found"),
        ('download_location = "/etc/passwd"', r"expected an address"),
        ('license_location = "https://x y"', r"without spaces"),
        ('license = "Llama 3.1 Community License"', r"expected an SPDX expression"),
        ('sha256 = "AB"', r"expected 64 digits"),
        ('distribution = "API"', r"expected a list"),
        ('distribution = ["API", " "]', r"release\.distribution\[1\]: empty"),
        ('sources = { vrsion = "x" }', r"'vrsion' is no key"),
        ('vrsion = "1"', r"unknown field `vrsion`"),
    ],
)
def test_what_a_release_refuses(line: str, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        parse(f'{HEAD}[[run]]\nname = "r"\n[release]\n{line}\n', name="c.toml")


def test_a_release_date_is_a_date_or_its_text() -> None:
    for line in ("date = 2024-07-23", 'date = "2024-07-23"'):
        spec = parse(f'{HEAD}[[run]]\nname = "r"\n[release]\n{line}\n', name="c.toml")
        assert spec.release is not None
        assert str(spec.release.date) == "2024-07-23"


def test_a_folder_is_no_case_and_the_answer_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"named as evidence.*flopledger estimate"):
        AuditCase.load(tmp_path)


def test_a_report_does_not_depend_on_where_the_case_was_called_from(tmp_path, monkeypatch) -> None:
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "c.toml").write_text(HEAD + RUN)
    monkeypatch.chdir(tmp_path)
    near = AuditCase.load("client/c.toml")
    assert near.name == "c.toml"
    monkeypatch.chdir(tmp_path / "client")
    assert AuditCase.load("../client/c.toml").name == AuditCase.load("c.toml").name == near.name


def test_the_check_stops_at_what_an_audit_stops_at(tmp_path, capsys):
    from flopledger.commands import main

    case = tmp_path / "case.toml"
    case.write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n[model.m]\narchitecture = { layers = 2, '
        "hidden = 64, heads = 4, ffn = 256, vocabulary = 100, sliding_window = 0.5 }\n"
        '[[run]]\nname = "p"\nkind = "pretraining"\nmodel = "m"\ntokens = 1e9\n',
        "utf-8",
    )
    assert main(["audit", str(case), "--no-trace"]) == 2
    wrong = capsys.readouterr().err
    assert "sliding_window = 0.5" in wrong
    assert main(["case", "check", str(case)]) == 2
    assert capsys.readouterr().err == wrong
