"""Claims that were multiplied up from the hours are said to be, and only those."""

import pytest

#: 200,000 A100-hours x 3600 x 312e12 = 2.2464e23 at a utilisation of 1.
RUN = """
[[run]]
name = "r"
precision = "bf16"
accelerator = "NVIDIA A100-SXM4-80GB"
accelerator_hours = 200000
"""


def derived(report) -> list[str]:
    return [one.message for one in report.findings if one.code == "circular-evidence"]


@pytest.mark.parametrize(
    "line, claim, words",
    [
        ("mfu = 0.43", 2.2464e23 * 0.43, "the stated MFU"),
        ("flop_per_second_per_accelerator = 147e12", 7.2e8 * 147e12, "the stated FLOP/s"),
        ("mfu = 0.38", 2.2464e23 * 0.5, "an assumed 0.5"),
    ],
)
def test_hours_times_a_rate(run_audit, line, claim, words):
    (message,) = derived(run_audit(f"[claim]\nflop = {claim:.4g}\n{RUN}{line}"))
    assert words in message


def test_a_claim_that_the_count_gives_too_is_nobodys_derivation(run_audit):
    # 6 x 8e9 x 2.0124e12 = 9.6595e22 = 2.2464e23 x 0.43
    model = "[model.m]\nparameters = 8e9\n"
    text = f'[claim]\nflop = 9.66e22\n{model}{RUN}mfu = 0.43\nmodel = "m"\ntokens = 2.0124e12'
    assert derived(run_audit(text)) == []


def test_a_geometric_mean_of_two_routes(run_audit):
    # 6 x 8e9 x 3e12 = 1.44e23 by count; 2.2464e23 x 0.43 / 1.1753 = 8.219e22 by hours:
    # their geometric mean is 1.0879e23.
    model = "[model.m]\nparameters = 8e9\n"
    text = f'[claim]\nflop = 1.088e23\n{model}{RUN}mfu = 0.43\nmodel = "m"\ntokens = 3e12'
    (message,) = derived(run_audit(text))
    assert "geometric mean" in message
