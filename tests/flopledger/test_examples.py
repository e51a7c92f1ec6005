"""The examples audit truthfully, and the same cases with a lie in them do not."""

from pathlib import Path

import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.verdict import Verdict


def _altered(root: Path, tmp_path: Path, name: str, *changes: tuple[str, str]) -> AuditCase:
    folder = root / "examples" / name
    text = (folder / "case.toml").read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "case.toml").write_text(text)
    for config in folder.glob("config.json"):
        (tmp_path / config.name).write_text(config.read_text())
    return AuditCase.load(tmp_path / "case.toml")


def _codes(report: AuditReport) -> set[str]:
    return {finding.code for finding in report.findings}


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("llama-3.1-405b", Verdict.CONSISTENT),
        ("llama-2-70b", Verdict.CONSISTENT),
        ("deepseek-v3", Verdict.CONSISTENT),
        ("opt-175b", Verdict.NEEDS_EXPLANATION),
        ("mixtral-8x7b", Verdict.UNDETERMINED),
    ],
)
def test_verdicts_by_closed_form(root: Path, name: str, verdict: Verdict) -> None:
    case = AuditCase.load(root / "examples" / name / "case.toml")
    assert audit(case, trace=False).verdict is verdict


@pytest.mark.trace
@pytest.mark.parametrize("name", ["llama-3.1-405b", "llama-2-70b", "deepseek-v3"])
def test_the_trace_confirms_the_closed_form(root: Path, name: str) -> None:
    report = audit(AuditCase.load(root / "examples" / name / "case.toml"))
    counted, formula, _ = report.estimates
    assert (counted.method, formula.method) == ("counted", "closed-form")
    assert counted.flop.best == pytest.approx(formula.flop.best, rel=1e-12)
    assert report.verdict is Verdict.CONSISTENT


def test_llama_405b_by_hand(root: Path) -> None:
    # matrix weights 403,752,042,496 less the input table is 403,752,042,496 - 126 * 2 * 16384 norms
    # - 16384 = 403,747,897,344; attention 12 * L * heads * head_dim * S
    # = 12 * 126 * 128 * 128 * 8192 = 202,937,204,736 a token
    # 15.6e12 * (6 * 403,747,897,344 + 202,937,204,736) = 4.0957e25
    report = audit(AuditCase.load(root / "examples/llama-3.1-405b/case.toml"), trace=False)
    by_hand = 15.6e12 * (6 * 403_747_897_344 + 202_937_204_736)
    assert report.estimates[0].flop.best == pytest.approx(by_hand, rel=1e-9)
    # 4.0957e25 / (30.84e6 * 3600 * 989.4e12) = 0.3728
    assert report.runs[0].utilisation["bf16"].best == pytest.approx(0.3728, abs=2e-4)


def test_a_claim_divided_by_four(root: Path, tmp_path: Path) -> None:
    case = _altered(root, tmp_path, "llama-3.1-405b", ("flop = 3.8e25", "flop = 9.5e24"))
    report = audit(case, trace=False)
    assert report.verdict is Verdict.INCONSISTENT
    (finding,) = [one for one in report.findings if one.code == "claim-contradicted"]
    # 4.08e25 (attention in full) / 9.5e24 is a factor 4.3
    assert "factor 4.3" in finding.message
    assert "below" in finding.message


@pytest.mark.parametrize(
    ("name", "hours", "sixth"),
    [
        ("llama-3.1-405b", "30.84e6", "5.14e6"),
        ("llama-2-70b", "hours = 1720320", "hours = 286720"),
    ],
)
def test_hours_divided_by_six(
    root: Path, tmp_path: Path, name: str, hours: str, sixth: str
) -> None:
    report = audit(_altered(root, tmp_path, name, (hours, sixth)), trace=False)
    assert report.verdict is Verdict.INCONSISTENT
    # utilisation 0.37 * 6 = 2.2 and 0.46 * 6 = 2.8: more than the devices can do at all
    assert "exceeds-physical-limit" in _codes(report)


@pytest.mark.parametrize("factor", [3.0, 5.0, 10.0])
@pytest.mark.parametrize("name", ["llama-3.1-405b", "llama-2-70b"])
def test_larger_lies_about_the_claim(root: Path, tmp_path: Path, name: str, factor: float) -> None:
    stated = {"llama-3.1-405b": 3.8e25, "llama-2-70b": 8.1e23}[name]
    for lie in (stated * factor, stated / factor):
        text = ("flop = 3.8e25" if stated > 1e25 else "flop = 8.1e23", f"flop = {lie:.3e}")
        report = audit(_altered(root, tmp_path, name, text), trace=False)
        assert report.verdict is Verdict.INCONSISTENT


def test_neither_tokens_nor_utilisation(root: Path, tmp_path: Path) -> None:
    case = _altered(
        root,
        tmp_path,
        "llama-2-70b",
        ("tokens = 2.0e12\n", ""),
        ('tokens = "arXiv:2307.09288, table 1"\n', ""),
    )
    report = audit(case, trace=False)
    assert report.verdict is Verdict.UNDETERMINED
    assert report.combined is None
    (bound,) = report.estimates
    assert bound.bound_only
    assert bound.flop.best is None
    assert "tokens-missing" in _codes(report)


def test_a_claim_beyond_the_hours_is_refuted_without_tokens(root: Path, tmp_path: Path) -> None:
    # 1,720,320 h * 3600 * 312e12 at rated clock = 1.9e24; 8.1e24 cannot be
    case = _altered(
        root,
        tmp_path,
        "llama-2-70b",
        ("tokens = 2.0e12\n", ""),
        ('tokens = "arXiv:2307.09288, table 1"\n', ""),
        ("flop = 8.1e23", "flop = 8.1e24"),
    )
    report = audit(case, trace=False)
    assert report.verdict is Verdict.INCONSISTENT
    assert "exceeds-physical-limit" in _codes(report)


def test_recomputation_inside_the_claim_is_recognised(root: Path) -> None:
    report = audit(AuditCase.load(root / "examples/opt-175b/case.toml"), trace=False)
    assert "hardware-flop-claimed-as-model" in _codes(report)


def test_all_experts_counted_is_recognised(root: Path, tmp_path: Path) -> None:
    # 6 * 671e9 * 14.8e12 = 5.96e25: every expert charged to every token
    case = _altered(root, tmp_path, "deepseek-v3", ("flop = 3.3e24", "flop = 5.96e25"))
    report = audit(case, trace=False)
    assert report.verdict is Verdict.INCONSISTENT
    assert any("all experts" in finding.message for finding in report.findings)


def test_each_threshold_has_its_probability(root: Path) -> None:
    report = audit(AuditCase.load(root / "examples/llama-3.1-405b/case.toml"), trace=False)
    standings = {one.regime.id: one for one in report.standings}
    assert standings["eu-gpai-1e23"].probability_exceeded == 1.0
    assert standings["eu-systemic-risk-1e25"].probability_exceeded == 1.0
    assert standings["us-ca-sb53-1e26"].probability_exceeded == 0.0
    assert "Article 51(2)" in standings["eu-systemic-risk-1e25"].regime.citation


def test_shares_of_variance_sum_to_one(root: Path) -> None:
    report = audit(AuditCase.load(root / "examples/llama-3.1-405b/case.toml"), trace=False)
    assert sum(one.log_variance_share for one in report.sensitivity) == pytest.approx(1)


def test_equal_seeds_give_equal_bytes(root: Path) -> None:
    from flopledger.reports import html, json_report

    case = AuditCase.load(root / "examples/opt-175b/case.toml")
    first, second = (audit(case, trace=False, seed=7) for _ in range(2))
    assert json_report.dumps(first) == json_report.dumps(second)
    assert html.render(first) == html.render(second)
    assert json_report.dumps(audit(case, trace=False, seed=8)) != json_report.dumps(first)
