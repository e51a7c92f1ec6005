"""Corrections are appended, chained, applied and shown; nothing is overwritten."""

import json
from pathlib import Path

import pytest

from flopledger import bundle
from flopledger.auditing import audit
from flopledger.cases import amendments
from flopledger.cases.case import AuditCase
from flopledger.commands import main
from flopledger.errors import CaseError

TEXT = """\
schema = "flopledger/case/1"
title = "t"

[claim]
flop = 6.30e21

[model.base]
parameters = 1e9

[[run]]
name = "pre.training one"
model = "base"
tokens = { at_least = 1.0e12 }
mfu = 0.4
"""
KEY = 'run."pre.training one"'


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "case.toml"
    path.write_text(TEXT)
    return path


def _amend(case: Path, text: str = "", **options: object) -> amendments.Amendment:
    return amendments.append(
        case, author="A. Auditor", reason="table 3", text=text, time="2026-03-01T10:00:00+01:00",
        **options,
    )  # type: ignore[arg-type]  # fmt: skip


def test_a_correction_is_applied_and_kept(case: Path) -> None:
    before = case.read_bytes()
    one = _amend(case, f"{KEY}.tokens = 1.5e12\nclaim.flop = 9.0e21")
    assert case.read_bytes() == before
    loaded = AuditCase.load(case)
    assert loaded.spec.run[0].tokens == 1.5e12
    assert loaded.claim_text == "9.0e21"  # two digits as typed, which make the claim's interval
    assert loaded.amendments == (one,)
    assert one.time == "2026-03-01T09:00:00+00:00"
    assert [(c.key, c.old, c.new) for c in one.changes] == [
        ("run.pre.training one.tokens", {"at_least": 1.0e12}, 1.5e12),
        ("claim.flop", 6.30e21, 9.0e21),
    ]
    two = _amend(case, f"{KEY}.tokens = [1.4e12, 1.6e12]", removed=[f"{KEY}.mfu"])
    assert [(c.old, c.new) for c in two.changes] == [(1.5e12, [1.4e12, 1.6e12]), (0.4, None)]
    assert AuditCase.load(case).spec.run[0].mfu is None


def test_the_report_shows_the_history(case: Path, tmp_path: Path) -> None:
    _amend(case, f"{KEY}.tokens = 1.5e12")
    report = audit(AuditCase.load(case), trace=False)
    report.save(tmp_path / "r.json")
    (told,) = json.loads((tmp_path / "r.json").read_text())["amendments"]
    assert told["author"] == "A. Auditor"
    assert told["reason"] == "table 3"
    assert told["changes"][0]["new"] == 1.5e12
    report.save(tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    assert "A. Auditor" in text
    assert "table 3" in text


def test_a_note_changes_nothing(case: Path) -> None:
    spec = AuditCase.load(case).spec
    _amend(case)
    loaded = AuditCase.load(case)
    assert loaded.spec == spec
    assert loaded.amendments[0].changes == ()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense", "run = 5", 'run."no such run".tokens = 1e12', f"{KEY}.tokens = -1",
        f"{KEY}.token = 1e12", "claim.flop.deep = 1", 'schema = "x"', "claim = 5", "[[run]]\nname = 'x'",
    ],
)  # fmt: skip
def test_a_bad_correction_changes_nothing(text: str, case: Path) -> None:
    with pytest.raises(CaseError):
        _amend(case, text)
    assert not amendments.ledger_of(case).exists()


def test_who_and_why_are_needed(case: Path) -> None:
    for author, reason in (("", "r"), ("a", " "), ("a\x1b[2J", "r"), ("a", "r" * 20_000)):
        with pytest.raises(CaseError, match="printable words"):
            amendments.append(case, author=author, reason=reason)
    with pytest.raises(CaseError, match="no time zone"):
        amendments.append(case, author="a", reason="r", time="2026-01-01T00:00:00")
    with pytest.raises(CaseError, match="not in the case"):
        _amend(case, removed=["claim.statement"])


@pytest.mark.parametrize("how", ["change", "drop", "swap", "truncate", "insert"])
def test_a_changed_history_is_found(how: str, case: Path) -> None:
    for tokens in ("1.1e12", "1.2e12", "1.3e12"):
        _amend(case, f"{KEY}.tokens = {tokens}")
    path = amendments.ledger_of(case)
    lines = path.read_text().splitlines(keepends=True)
    changed = {
        "change": [lines[0], lines[1].replace("A. Auditor", "B. Auditor"), *lines[2:]],
        "drop": [lines[0], *lines[2:]],
        "swap": [lines[0], lines[2], lines[1], lines[3]],
        "truncate": [*lines[:3], lines[3][:40]],
        "insert": [*lines[:2], lines[1], *lines[2:]],
    }[how]
    path.write_text("".join(changed))
    with pytest.raises(CaseError, match="line"):
        AuditCase.load(case)


def test_an_opened_case_cannot_be_edited(case: Path) -> None:
    _amend(case, f"{KEY}.tokens = 1.1e12")
    case.write_text(TEXT.replace("6.30e21", "6.31e21"))
    with pytest.raises(CaseError, match="changed after its first amendment"):
        AuditCase.load(case)


def test_the_bundle_carries_the_history(case: Path, tmp_path: Path) -> None:
    from flopledger.bundle.sealing import Choices

    bundle.generate_key(tmp_path)
    key = bundle.load_private(tmp_path / "flopledger.key")
    _amend(case, f"{KEY}.tokens = 1.5e12")
    out = tmp_path / "x.zip"
    bundle.seal_case(
        AuditCase.load(case), keys=[key], out=out, trace=False, choices=Choices(html=False)
    )
    checked = bundle.verify(out, trusted=[key.public], recompute=True)
    assert checked.exit_code == 0
    assert checked.audit is not None
    assert checked.audit["amendments"][0]["author"] == "A. Auditor"
    assert checked.statement is not None
    assert "case/case.toml.amendments.jsonl" in checked.statement.digests


def test_the_verb(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["amend", str(case), "--author", "A", "--reason", "R"]
    assert main([*arguments, "--set", f"{KEY}.tokens = 1.5e12", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["number"] == 1
    assert told["changes"][0]["new"] == 1.5e12
    assert main([*arguments, "--set", "no such = key"]) == 2
    assert main(["case", "check", str(case)]) == 0


def test_a_date_can_be_corrected(case: Path) -> None:
    _amend(case, "release.date = 2026-01-31")
    two = _amend(case, "release.date = 2026-02-01")
    assert [(c.key, c.old, c.new) for c in two.changes] == [
        ("release.date", "2026-01-31", "2026-02-01")
    ]
    release = AuditCase.load(case).spec.release
    assert release is not None
    assert str(release.date) == "2026-02-01"
