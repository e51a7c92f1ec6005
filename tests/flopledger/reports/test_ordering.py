"""The order in which a reader meets findings."""

from flopledger.facts import Finding
from flopledger.reports.ordering import rank, worst_first
from flopledger.text import WITHHELD_SENTENCE


def _unread(name: str) -> Finding:
    message = f"{name}: no reader recognises this file; it did not enter the audit"
    return Finding(code="evidence-unread", severity="warning", message=message, evidence=(name,))


def _finding(code: str, severity: str) -> Finding:
    return Finding(code=code, severity=severity, message=code)  # type: ignore[arg-type]


def test_the_claim_comes_first_and_papers_come_last() -> None:
    shuffled = [
        _finding("unit-ambiguity", "info"),
        _unread("old logs.zip"),
        _finding("unexplained-compute", "warning"),
        _finding("counter-implausible", "error"),
        _finding("claim-contradicted", "error"),
    ]
    assert [one.code for one in worst_first(shuffled)] == [
        "claim-contradicted", "counter-implausible", "unexplained-compute", "evidence-unread",
        "unit-ambiguity",
    ]  # fmt: skip
    assert rank("strange", "x") > rank("info", "evidence-unread")


def test_unread_files_are_one_finding_that_names_them() -> None:
    (joint,) = worst_first([_unread("a.pdf"), _unread("b c.xlsx"), _unread("a.pdf")])
    assert joint.message == (
        "2 files that no reader recognises did not enter the audit: a.pdf, b c.xlsx"
    )
    (many,) = worst_first([_unread(f"{number}.pdf") for number in range(1_023)])
    assert many.message.startswith("1,023 files")
    assert many.message.endswith("19.pdf and 1,003 more")
    assert worst_first([_unread("a.pdf")]) == [_unread("a.pdf")]


def test_what_is_withheld_is_not_told_by_the_joint_sentence() -> None:
    hidden = [
        Finding(
            code="evidence-unread", severity="warning", message=WITHHELD_SENTENCE, evidence=(name,)
        )
        for name in ("a", "b")
    ]
    assert worst_first(hidden) == hidden
