"""Each known mistake, made in a claim: its explanation ranks first, and no honest case shows it.

The run is of 7e9 parameters and 2e12 tokens on H100 at 40 % of the dense BF16 peak, unless the trap
needs another.
"""

import re
from dataclasses import dataclass, field

import pytest

from flopledger import fingerprints, inputs
from flopledger.cases.spec import RunSpec
from flopledger.verdict import Verdict

PEAK = 989.4e12
P, D = 7e9, 2e12


@dataclass(frozen=True, kw_only=True)
class Trap:
    """A run, the factor by which its honest figure is missed, and what should be said of it."""

    code: str
    words: str
    factor: float  #: of the honest figure
    value: float | None = None  #: the claim itself, where it is a product of its own
    model: str = f"parameters = {P}"
    run: dict = field(default_factory=dict)


def hours(flop, utilisation=0.4, peak=PEAK):
    """Device-hours at a utilisation."""
    return flop / (peak * utilisation * 3600)


WORK = 6 * P * D
ON_HOURS = {
    "accelerator": '"NVIDIA H100 80GB HBM3"',
    "precision": '"bf16"',
    "accelerator_hours": hours(WORK) * 1.1753,
    "mfu": 0.4,
}
TRAPS = {
    "recomputation": Trap(
        code="hardware-flop-claimed-as-model",
        words="the run recomputes",
        factor=4 / 3,
        run={"recompute": '"full"'},
    ),
    "frozen weights counted as trained": Trap(
        code="frozen-parameters", words="kind lora", factor=1.5, run={"kind": '"lora"'}
    ),
    # The Trainer's total leaves the embeddings out, and comes to 1.42 instead of 1.5.
    "frozen weights, embeddings left out": Trap(
        code="frozen-parameters",
        words="kind lora",
        factor=1.42,
        run={"kind": '"lora"', "recompute": '"none"'},
    ),
    "a part of the weights trained": Trap(
        code="frozen-parameters",
        words="trainable parameters",
        # 6 against 4 + 2 x 1/70
        factor=6 / (4 + 2 / 70),
        run={"kind": '"finetuning"', "trainable_parameters": P / 70},
    ),
    "forward passes counted as training": Trap(
        code="backward-counted",
        words="kind synthetic-data",
        factor=3.0,
        run={"kind": '"synthetic-data"', "synthetic_public": "false"},
    ),
    "training counted as forward passes": Trap(
        code="forward-only-counted", words="forward pass", factor=1 / 3
    ),
    "all experts": Trap(
        code="experts-all-counted",
        words="mixture of experts",
        factor=47 / 13,
        model="parameters = 47e9\nactive_parameters = 13e9",
    ),
    "encoder and decoder alike": Trap(
        code="encoder-decoder-doubled",
        words="an encoder and a decoder",
        factor=2.0,
        model="architecture = { kind = 'encoder-decoder', encoder_layers = 24, decoder_layers = 24, "
        "hidden = 1024, heads = 16, kv_heads = 16, head_dim = 64, ffn = 4096, ffn_matrices = 2, "
        "vocabulary = 32128, tied_embeddings = true }",
    ),
    "multiply-adds for FLOP": Trap(code="multiply-adds-counted", words="multiply-adds", factor=0.5),
    "sparse peak": Trap(
        code="wrong-peak", words="sparse bf16 peak", factor=2 * 1.1753, run=ON_HOURS
    ),
    "FP8 for BF16": Trap(
        code="wrong-peak",
        words="peak was used",
        factor=2 * 1.1753,
        run={**ON_HOURS, "mfu": 0.41, "accelerator_hours": hours(WORK, 0.41) * 1.1753},
    ),
    "the vector units' peak": Trap(
        code="wrong-peak",
        words="fp16 peak of the vector units",
        # 133.8 / 989.4 of the peak, hours as above
        factor=133.8 / 989.4 * 1.1753,
        run=ON_HOURS,
    ),
    "a utilisation of one": Trap(
        code="utilisation-assumed",
        words="x an assumed 1",
        factor=1 / 0.4 * 1.1753,
        run={**ON_HOURS, "mfu": None},
    ),
    "one core of a chip": Trap(
        code="wrong-peak",
        words="of one core",
        factor=0.5,
        value=WORK / 2 * 1.1753,
        run={
            "accelerator": '"Google TPU v3"',
            "precision": '"bf16"',
            "accelerator_hours": hours(WORK, peak=123e12) * 1.1753,
            "mfu": 0.4,
        },
    ),
    "the data set's size": Trap(
        code="dataset-size-not-trained", words="epochs are stated", factor=1 / 4, run={"epochs": 4}
    ),
    "samples for tokens": Trap(
        code="unit-ambiguity",
        words="a sample has 2,048 tokens",
        factor=1 / 2048,
        run={"sequence_length": 2048},
    ),
    "teraFLOP": Trap(code="unit-ambiguity", words="teraFLOP", factor=1e-12),
    "petaFLOP": Trap(code="unit-ambiguity", words="petaFLOP", factor=1e-15),
    "petaFLOP/s-days": Trap(code="unit-ambiguity", words="petaFLOP/s-days", factor=1 / 8.64e19),
    "petaFLOP/s-days as petaFLOP": Trap(
        code="unit-ambiguity", words="FLOP/s-days", factor=1 / 86_400
    ),
    "petaFLOP as petaFLOP/s-days": Trap(
        code="unit-ambiguity", words="FLOP were taken for FLOP/s-days", factor=86_400.0
    ),
    "days for hours": Trap(code="unit-ambiguity", words="days were taken", factor=1 / 24),
    "hours for seconds": Trap(code="unit-ambiguity", words="hours were taken", factor=1 / 3600),
    "hours per trillion tokens": Trap(
        code="unit-ambiguity",
        words="per trillion tokens",
        factor=1 / 14.8,
        run={
            **ON_HOURS,
            "tokens": 14.8e12,
            "accelerator_hours": hours(6 * P * 14.8e12, 0.26),
            "mfu": None,
        },
    ),
}


def case(trap, factor, honest):
    """Write the case with the honest figure times ``factor`` as its claim; with a trap's own value else."""
    value = trap.value if trap.value and factor != 1 else honest * factor
    figures = {"tokens": D, **trap.run}
    body = "".join(f"{key} = {value}\n" for key, value in figures.items() if value is not None)
    return (
        f"[claim]\nflop = {{ value = {value:.6g}, relative = 0.001 }}\n"
        f"[model.m]\n{trap.model}\n"
        f'[[run]]\nname = "r"\nmodel = "m"\n{body}'
    )


def fits(report):
    """The fingerprints beside the claim, in their order."""
    return [
        one
        for one in report.findings
        if "fits a factor of" in one.message and one.severity == "warning"
    ]


@pytest.mark.parametrize("name", TRAPS)
def test_the_right_explanation_ranks_first(run_audit, name):
    trap = TRAPS[name]
    first = run_audit(case(trap, 1.0, 1e24))
    honest = (first.combined or first.runs[0].combined).flop.best
    told = run_audit(case(trap, 1.0, honest))
    assert told.verdict in (Verdict.CONSISTENT, Verdict.NEEDS_EXPLANATION)
    assert fits(told) == []
    lie = run_audit(case(trap, trap.factor, honest))
    assert lie.verdict is not Verdict.CONSISTENT
    found = fits(lie)
    assert found, [one.message for one in lie.findings]
    assert found[0].code == trap.code, [one.message for one in found]
    assert trap.words in found[0].message


@pytest.mark.parametrize("kind", ["pretraining", "continued"])
def test_frozen_weights_are_no_explanation_where_nothing_froze(run_audit, kind):
    trap = Trap(code="", words="", factor=1.42, run={"kind": f'"{kind}"'})
    honest = run_audit(case(trap, 1.0, 1e24)).combined.flop.best
    found = fits(run_audit(case(trap, 1.38, honest)))
    assert found[0].code == "hardware-flop-claimed-as-model"
    ranks = [one.code for one in fits(run_audit(case(trap, 1.45, honest)))]
    assert "hardware-flop-claimed-as-model" not in ranks[1:]


def test_recomputation_is_no_explanation_where_there_was_none(run_audit):
    trap = Trap(code="", words="", factor=4 / 3, run={"recompute": '"none"'})
    honest = run_audit(case(trap, 1.0, 1e24)).combined.flop.best
    (found,) = [
        one
        for one in fits(run_audit(case(trap, 4 / 3, honest)))
        if one.code == "hardware-flop-claimed-as-model"
    ]
    assert "against it: nothing was recomputed" in found.message


def test_counts_that_leave_the_embeddings_out_are_a_convention(run_audit):
    # A small model with a large vocabulary: 128,000 x 512 = 65.5e6 of 84e6 weights are embeddings.
    name = "6ND without embeddings"
    model = (
        "architecture = { layers = 6, hidden = 512, heads = 8, kv_heads = 8, head_dim = 64, "
        "ffn = 2048, ffn_matrices = 2, vocabulary = 128000, tied_embeddings = true }"
    )
    trap = Trap(code="", words="", factor=1.0, model=model)
    honest = run_audit(case(trap, 1.0, 1e20))
    total = honest.runs[0].conventions[name]
    report = run_audit(case(trap, 1.0, total))
    assert report.verdict is Verdict.CONSISTENT
    (told,) = [one for one in report.findings if one.code == "claim-convention"]
    assert re.search(re.escape(f"by {name} ("), told.message)


def test_a_trainers_total_over_frozen_weights(run_audit):
    """TinyLlama with LoRA: 6 x 1.036e9 x 11,465,216 stated, 4 x 1.1e9 x 11,465,216 spent."""
    run = (
        '[model.m]\nparameters = 1.1e9\n[[run]]\nname = "r"\nkind = "lora"\nmodel = "m"\n'
        f"tokens = 11465216\nclaimed_flop = {6 * 1.036e9 * 11465216:.6g}\n"
    )
    (told,) = [one for one in run_audit(run).findings if one.code == "counter-implausible"]
    assert "the factor fits: frozen weights were counted at 6" in told.message
    assert "recomputed" not in told.message.partition("frozen")[0]


MIXTURE = """
[claim]
flop = 3.3e23
[model.m]
parameters = 235e9
[[run]]
name = "r"
model = "m"
tokens = 2.5e12
accelerator = "NVIDIA H100 80GB HBM3"
precision = "bf16"
accelerator_hours = {}
"""


@pytest.mark.parametrize(("hours", "is_asked"), [(5e5, True), (2.5e6, False)])
def test_all_parameters_of_a_mixture_are_asked_about_where_the_hours_cannot_hold_them(
    run_audit, hours, is_asked
):
    # 6 x 235e9 x 2.5e12 = 3.5e24 is 198% of 5e5 h x 989e12 and 40% of 2.5e6 h; 6 x 22e9 x 2.5e12 = 3.3e23.
    told = {one.code: one.message for one in run_audit(MIXTURE.format(hours)).findings}
    assert ("experts-all-counted" in told) is is_asked
    if is_asked:
        assert "active_parameters" in told["experts-all-counted"]


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (3600, "seconds written as hours"),
        (1 / 24, "days written as hours"),
        (1 / 1000, "hours in thousands"),
        (1e9, "tokens in billions written as tokens"),
        (1e12, "tokens in trillions written as tokens"),
        (1 / 64, "hours of the clock written as device-hours (the run had 64 devices)"),
        (2048, "samples of 2,048 tokens written as tokens"),
    ],
)
def test_each_slip_of_units_is_named_by_its_factor(ratio: float, words: str) -> None:
    """The ratio is of what the hours held to what the work took."""
    run = RunSpec(name="r", accelerator_count=64, sequence_length=2048)
    found = fingerprints.absurd(ratio, inputs.of_run(run, place="r"))
    assert found[0].reason.startswith(words)


@pytest.mark.parametrize(("utilisation", "is_named"), [(1.0, True), (1.25, True), (1.6, False)])
def test_node_hours_are_named_at_another_utilisation_than_the_usual(utilisation, is_named) -> None:
    # Hours of 8 devices each, at 1.25 of the usual utilisation: 8 x 1.25 = 10; 1.6 is beyond e^0.25.
    found = fingerprints.matching(8 * utilisation, spread=0.0, known=fingerprints.ROUTES)
    assert any("hours of a node" in one.reason for one in found) is is_named
