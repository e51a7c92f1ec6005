"""A claim of everything that a case lists, with runs that no ledger counts, says nothing false."""

import pytest

#: 6 x 14e9 x 9.8e12 = 8.23e23 of the training, and of the other run as noted.
CASE = """
[claim]
flop = {claim}
[model.m]
parameters = 14e9
[[run]]
name = "main"
model = "m"
tokens = 9.8e12
[[run]]
name = "other"
model = "m"
{other}
"""


@pytest.mark.parametrize(
    ("other", "everything"),
    [
        ('kind = "failed"\ntokens = 8e12', "1.5e24"),  # + 6 x 14e9 x 8e12 = 6.72e23
        ('kind = "parent"\ntokens = 8e12', "1.5e24"),
        ('kind = "auxiliary"\ntokens = 8e12', "1.5e24"),
        # Forward passes: + 2 x 14e9 x 4e13 = 1.12e24
        ('kind = "synthetic-data"\ntokens = 4e13\nsynthetic_public = true', "1.94e24"),
        ('kind = "evaluation"\ntokens = 4e13', "1.94e24"),
    ],
)
def test_a_claim_may_hold_what_no_ledger_counts(run_audit, other, everything):
    def verdict(claim):
        return str(run_audit(CASE.format(claim=claim, other=other)).verdict)

    report = run_audit(CASE.format(claim=everything, other=other))
    assert str(report.verdict) == "consistent"
    (told,) = [one.message for one in report.findings if one.code == "claim-convention"]
    assert "with what no ledger counts (other)" in told
    # Thresholds stand where they stood: 8.23e23 in each ledger.
    bests = [one.flop.best for one in report.standings]
    assert bests == [pytest.approx(8.232e23)] * len(bests)
    assert verdict("8.2e23") == "consistent"
    assert verdict("4.0e24") == "inconsistent"
    assert verdict("3.0e23") == "inconsistent"


def test_so_may_one_with_the_original(run_audit):
    # 9e23 of the original, 8.23e23 and 6.72e23 of both runs
    case = CASE.replace("[[run]]", "[base_model]\nflop = 9e23\n[[run]]", 1).replace(
        'name = "main"', 'name = "main"\nkind = "continued"'
    )
    failed = 'kind = "failed"\ntokens = 8e12'
    assert str(run_audit(case.format(claim="2.4e24", other=failed)).verdict) == "consistent"
    assert str(run_audit(case.format(claim="7e24", other=failed)).verdict) == "inconsistent"
