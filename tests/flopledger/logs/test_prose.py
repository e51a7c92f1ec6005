"""Prose: labels and sentences of a text, what silences them, and what they must not be taken for."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flopledger import logs
from flopledger.facts import Grade
from flopledger.logs.notes import Notes
from flopledger.logs.readers.prose import reader as prose

#: As in a published card: the context window and the size of the data are no amounts trained.
CARD = """---
license: mit
---
## Training

### Model

* Architecture: Small-1 has 3.8B parameters and is a dense decoder-only Transformer model.
* Context length: 128K tokens
* GPUs: 512 H100-80G
* Training time: 7 days
* Training data: 3.3T tokens
"""

README = """# Tiny

| Setting | Description |
|---|---|
| Parameters | 1.1B |
| Sequence Length | 2048 |
| Batch Size | 2 million tokens (2048 * 1024) |
| Combined Dataset Size | Around 950B tokens |
| Total Tokens During Training | 3 trillion (slightly more than 3 epochs) |
| Hardware | 16 A100-40G GPUs |

We released the intermediate checkpoint trained on 503B tokens.
We achieve **24k** tokens per second per A100-40G GPU in training, which means **56% MFU**.
It means you can train it (1.1B param, 22B tokens) in 32 hours with 8 A100.
"""

Assemble = Callable[..., logs.RunFacts]


@pytest.fixture
def assembled(tmp_path: Path) -> Assemble:
    def run(**texts: str) -> logs.RunFacts:
        files = []
        for name, text in texts.items():
            path = tmp_path / name.replace("_dot_", ".")
            path.write_text(text)
            files.append(logs.EvidenceFile(path=path, name=path.name))
        return logs.assemble(logs.read(files))

    return run


def _codes(run: logs.RunFacts) -> set[str]:
    return {finding.code for finding in run.findings}


def test_a_card_in_bullets(assembled: Assemble) -> None:
    run = assembled(README_dot_md=CARD)
    assert run.accelerator is not None
    assert run.accelerator.value == "H100-80G"
    assert run.accelerator_count is not None
    assert run.accelerator_count.value == 512
    assert run.wall_seconds is not None
    assert run.wall_seconds.value == 7 * 86_400
    assert run.parameters is not None
    assert run.parameters.value == 3_800_000_000
    # 3.3T tokens are the data's size, and 128K the window: neither is what was trained on
    assert run.tokens is None
    assert {"prose-used", "dataset-size-not-trained"} <= _codes(run)


def test_a_table_of_settings(assembled: Assemble) -> None:
    run = assembled(README_dot_md=README)
    assert run.tokens is not None
    assert run.tokens.value == 3_000_000_000_000
    assert run.tokens_per_sample is not None
    assert run.tokens_per_sample.value == 2048
    assert run.accelerator_count is not None
    assert run.accelerator_count.value == 16
    assert run.tokens_per_second_per_accelerator is not None
    assert run.tokens_per_second_per_accelerator.value == 24_000
    assert run.claimed_mfu is not None
    assert run.claimed_mfu.value == pytest.approx(0.56)
    # "you can train it in 32 hours" is a possibility
    assert run.wall_seconds is None


@pytest.mark.parametrize(
    ("sentence", "name", "value"),
    [
        ("We trained for 3 days on 8xA100-80GB; 12k tokens/s/GPU.", "wall_seconds", 259_200),
        ("We trained for 3 days on 8xA100-80GB; 12k tokens/s/GPU.", "accelerator_count", 8),
        ("It was trained on 440 A100-40GBs for about 9.5 days.", "wall_seconds", 820_800),
        ("It was trained on 440 A100-40GBs for about 9.5 days.", "accelerator_count", 440),
        ("Trained on 4 nodes of 8xH100 for 14 hours.", "accelerator_count", 32),
        (
            "Training ran on 48 nodes with 8 A100 80GB GPUs each (384 GPUs).",
            "accelerator_count",
            384,
        ),
        ("The model was trained on 384 A100 80GB GPUs (48 nodes).", "accelerator_count", 384),
        ("Training took 21,500 A100-hours.", "accelerator_seconds", 77_400_000),
        ("Training took 1.3M GPU hours.", "accelerator_seconds", 4_680_000_000),
        ("We trained it on a single RTX 4090 for 90 minutes.", "accelerator_count", 1),
        ("We trained it on a single RTX 4090 for 90 minutes.", "wall_seconds", 5_400),
        ("Training used 3.5e23 FLOPs in total.", "claimed_flop", 3.5e23),
        ("Training used 1.2 x 10^22 FLOPs in total.", "claimed_flop", 1.2e22),
        ("Training took 3640 petaflop/s-days.", "claimed_flop", 3640 * 8.64e19),
        ("It was trained in bf16 on 2 A40 cards.", "precision", "bf16"),
        ("It was pretrained for 300B tokens.", "tokens", 300_000_000_000),
    ],
)
def test_sentences(assembled: Assemble, sentence: str, name: str, value: float | str) -> None:
    figure = getattr(assembled(notes_dot_md=sentence), name)
    assert figure is not None
    assert figure.value == (value if isinstance(value, str) else pytest.approx(value))
    assert figure.facts[0].grade is Grade.STATEMENT


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        (
            "GPUs: 416 A100 80GB GPUs (52 nodes) - using 384 gpus and keeping 32 in reserve",
            "accelerator_count",
        ),
        ("Each of our training nodes has 4x V100-32GB per node.", "accelerator_count"),
        ("You could train it on 8 A100 in 3 days.", "wall_seconds"),
        ("We save a checkpoint of the training every 5 hours.", "wall_seconds"),
        ("We trained with a batch size of 4M tokens.", "tokens"),
        ("We trained with a context of 128K tokens on 8 A100.", "tokens"),
        ("The training data is a corpus of 950B tokens.", "tokens"),
        (
            "Inference after training runs at 90 tokens per second per GPU.",
            "tokens_per_second_per_accelerator",
        ),
        ("Training on fp16 proved unstable.", "precision"),
        ("It took 2-3h to train on our data.", "wall_seconds"),
        ("The mixture of experts has 47B parameters and was trained on 8 A100.", "parameters"),
    ],
)
def test_what_is_not_a_figure_of_the_run(assembled: Assemble, sentence: str, name: str) -> None:
    assert getattr(assembled(notes_dot_md=sentence), name) is None


@pytest.mark.parametrize("name", ["wall_seconds", "accelerator_count", "claimed_flop"])
def test_nothing_and_too_much_are_no_figures(assembled: Assemble, name: str) -> None:
    text = "We trained for 0 days on 0 A100 with 1e99 FLOPs, and 0.0 GPU hours."
    assert getattr(assembled(notes_dot_md=text), name) is None


def test_several_figures_are_none(assembled: Assemble) -> None:
    run = assembled(
        notes_dot_md="The 3B was trained on 1T tokens. The 7B was trained on 500B tokens."
    )
    assert run.tokens is None
    assert "prose-ambiguous" in _codes(run)


def test_a_log_silences_the_text(assembled: Assemble) -> None:
    log = "step:1/2 x\n"
    text = "It was trained on 1T tokens for 3 days on 8 A100."
    results = '{"train_runtime": 100.0, "train_samples": 64, "train_loss": 1.0, "epoch": 1.0}'
    run = assembled(notes_dot_md=text, train_results_dot_json=results, x_dot_log=log)
    assert run.timed_seconds is not None
    assert run.timed_seconds.value == 100
    assert run.wall_seconds is None
    assert run.tokens is None


def test_the_card_of_a_model_that_was_trained_further(assembled: Assemble) -> None:
    front = "---\nbase_model: some/base-7b\n---\n# Model Card for x\n"
    run = assembled(
        README_dot_md=front + "The base was trained on 2T tokens using 512 A100 GPUs.\n"
    )
    assert run.tokens is None
    assert run.accelerator_count is None
    assert "prose-ambiguous" in _codes(run)


def test_text_without_figures_is_not_recognised(tmp_path: Path) -> None:
    path = tmp_path / "NOTES.md"
    path.write_text("# Notes\nWe trained a model, and it was good.\n")
    assert logs.read([logs.EvidenceFile(path=path, name="NOTES.md")]).unread == ("NOTES.md",)


@pytest.mark.parametrize("word", ["8 A100 ", "1", "1,", "1B tokens ", "trained (", "-", "| "])
def test_hostile_lines_end_in_time(word: str) -> None:
    notes = Notes("x.md")
    line = ("trained on " + word * 700)[:1_400]
    before = time.process_time()
    prose.note(f"{line}\n" * 20, notes)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        (
            "Training took 6.4M H800 GPU hours.",
            {"accelerator_seconds": 6.4e6 * 3600, "accelerator": "H800"},
        ),
        (
            "Trained for 2 million TPU v4 chip-hours.",
            {"accelerator_seconds": 7.2e9, "accelerator": "TPU v4"},
        ),
        # The number of a slice counts TensorCores, two a chip.
        (
            "It was trained on a TPU v4-512 for two weeks.",
            {"accelerator_count": 256, "wall_seconds": 1209600},
        ),
        ("It was trained on 2 TPU v4-512 for 14 days.", {"accelerator_count": 2}),
        ("We trained it on TPU v4-512 slices.", {"accelerator_count": None}),
        ("We trained it on 96 x 8 A100 for 24 days.", {"accelerator_count": 768}),
        ("Training: 24 days on 32x8 V100", {"accelerator_count": 256, "wall_seconds": 24 * 86_400}),
        ("It was trained on one trillion tokens.", {"tokens": 1e12}),
        ("We trained it for 14 days (336 hours) on 128 A100.", {"wall_seconds": 14 * 86_400}),
        ("It was trained for 1 day 4 hours on 8 A100.", {"wall_seconds": 28 * 3600}),
        ("It was trained on 2.5T tokens (1.2T unique tokens, two epochs).", {"tokens": 2.5e12}),
        # A core is half a chip of this generation, and a device of its own.
        (
            "We trained it on 64 TPU v3 cores.",
            {"accelerator": "TPU v3 core", "accelerator_count": 64},
        ),
        ("Training took 3000 TPU v3 core-hours.", {"accelerator": "TPU v3 core"}),
        ("The teacher was trained with 3.8e25 FLOP.", {"claimed_flop": None}),
        # The 6 of an exponent is no number of hours.
        ("Training: 1.5e6 GPU-hours", {"accelerator_seconds": 1.5e6 * 3600}),
        ("Training took 1.2 × 10^6 GPU hours.", {"accelerator_seconds": 1.2e6 * 3600}),
        ("Training took 10^6 A100 GPU hours.", {"accelerator_seconds": 1e6 * 3600}),
        ("It was trained on 1.5 × 10¹² tokens.", {"tokens": 1.5e12}),
        ("It was trained on 1,5T tokens.", {"tokens": None}),
        ("Training FLOPs: 2.3 x 10^24", {"claimed_flop": 2.3e24}),
        ("Training used 3.8×10²⁵ FLOP.", {"claimed_flop": 3.8e25}),
        ("Training compute: 3.8e25", {"claimed_flop": 3.8e25}),
        ("It was trained below the 10^25 FLOP threshold.", {"claimed_flop": None}),
        ("Training consumed 1,287 MWh of electricity.", {"energy_joules": 1287 * 3.6e9}),
        ("Energy consumption: 900 kWh", {"energy_joules": 900 * 3.6e6}),
        ("Training used 5 MWh per day.", {"energy_joules": None}),
        (
            "We trained at 380 TFLOP/s/GPU on 32 H100.",
            {"claimed_flop_per_second_per_accelerator": 3.8e14, "accelerator_count": 32},
        ),
    ],
)
def test_what_a_sentence_says(tmp_path: Path, sentence: str, found: dict[str, object]) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"{sentence}\n")
    evidence = logs.read([logs.EvidenceFile(path=path, name=path.name)])
    for name, value in found.items():
        values = [fact.value for fact in evidence.named(f"said_{name}")]
        expected = value if isinstance(value, str) else pytest.approx(value)
        assert values == ([] if value is None else [expected])


@pytest.mark.parametrize(
    ("written", "hours"),
    [
        ("24", 24),
        ("~200h", 200),
        ("36 hours (8 GPUs)", 36),
        ("1,720,320", 1_720_320),
        ("370k", 370_000),
        ("1.2e6", 1.2e6),
        ("1.2 × 10^6", 1.2e6),
        ("3 days", 72),
        ("a few", None),
        ("3 days, then 5 more", None),
        ("1.2.3", None),
    ],
)
def test_hours_of_a_cards_template_are_understood_whole_or_not_at_all(
    tmp_path: Path, written: str, hours: float | None
) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        f"## Environmental Impact\n- **Hardware Type:** H100\n- **Hours used:** {written}\n"
    )
    evidence = logs.read([logs.EvidenceFile(path=path, name=path.name)])
    assert evidence.sources["README.md"].format == "model-card"
    found = [fact.value for fact in evidence.named("hours_used")]
    assert found == ([] if hours is None else [pytest.approx(hours)])
