"""Whose work a sentence speaks of, and what a figure beside another unit is of."""

import pytest

from flopledger import logs

HOUR = 3_600


@pytest.fixture
def said(tmp_path):
    def read(text):
        path = tmp_path / "card.md"
        path.write_text(f"# Card\n\n{text}\n")
        run = logs.assemble(logs.read([logs.EvidenceFile(path=path, name=path.name)]))
        return run, [one for one in run.findings if one.code == "prose-ambiguous"]

    return read


@pytest.mark.parametrize(
    "text",
    [
        "The model was trained for 2 epochs on 1.2T tokens.",
        "The model was trained on 1.2T tokens for two full epochs.",
        "We trained on 1.2T tokens (3 epochs).",
    ],
)
def test_tokens_beside_epochs_keep_both_readings(said, text):
    # One pass or all of them: 1.2e12 at least, and at most so many times that.
    run, doubts = said(text)
    assert (run.tokens.number, run.tokens.bound) == (1.2e12, "at least")
    assert run.tokens.most == 1.2e12 * run.passes.number
    assert any("beside epochs" in one.message for one in doubts)


@pytest.mark.parametrize(
    "text",
    [
        "The model was trained for one epoch on 1.2T tokens.",
        "The model was trained for a single epoch over 1.2T tokens.",
        "It was trained on 1.2T tokens (0.4T unique tokens, three epochs).",
        "The model was trained on a total of 1.2T tokens over 3 epochs.",
        "The model was trained on 1.2T tokens (3 epochs of 0.4T).",
        "The model was trained for 3 epochs on 0.4T unique tokens.",
        "The model was trained for three epochs on a corpus of 400B tokens.",
        "We trained for 3 epochs on a 400B-token dataset.",
        "Training tokens: 0.4T x 3 epochs",
        "The model was trained for 3 epochs with 0.4T tokens per epoch.",
        "Total tokens during training: 1.2T (3 epochs)",
        "Total training tokens: 1.2T\n\nEpochs: 3",
        # Epochs of other work, of a schedule or of a checkpoint are none of the tokens'.
        "The model was trained on 1.2T tokens. It was then fine-tuned for 3 epochs on dialogues.",
        "The model was trained on 1.2T tokens. The vision encoder was trained for 5 epochs on images.",
        "The model was trained on 1.2T tokens, about 1.1 epochs.",
        "The model was trained on 1.2T tokens. Training was stopped after 3 of 10 epochs.",
        "The model was trained on 1.2T tokens. Training ended with 2 epochs of cool-down.",
        "The model was trained on 1.2T tokens, and a checkpoint was trained for the first 2 epochs.",
    ],
)
def test_one_epoch_or_the_unique_part_settles_the_amount(said, text):
    run, _ = said(text)
    assert run.tokens.number == pytest.approx(1.2e12)
    assert run.tokens.bound == "exact"


@pytest.mark.parametrize(
    "text",
    [
        "The model was trained on 1.2T tokens. Training ran for 3 epochs.",
        "We pretrain on 1.2T tokens, making three passes over the data.",
        "The model was trained on 1.2T tokens.\n\nEach token was seen 3 times on average during training.",
        "Training tokens: 1.2T\n\nEpochs: 3",
        "The model was trained on 1.2T tokens, and we iterate three times over them.",
        "Training tokens: 1.2T\n\nnum_epochs: 3",
        "The model was trained on 1.2T tokens for 2-3 epochs.",  # at most the upper end
    ],
)
def test_epochs_of_another_sentence_are_beside_the_tokens_too(said, text):
    run, _ = said(text)
    assert (run.tokens.number, run.tokens.bound) == (1.2e12, "at least")
    assert run.tokens.most == pytest.approx(3.6e12)


@pytest.mark.parametrize(
    "text",
    [
        "All models of the family (1B, 7B and 70B) took 5.2M GPU hours on H100-80GB.",
        "Training utilized a cumulative of 39.3M GPU hours of computation on H100-80GB hardware.",
        "We trained 1B, 7B and 70B models using 512 H100 GPUs for 60 days.",
        "Training both variants took 200,000 A100 GPU hours.",
    ],
)
def test_hours_of_several_models_are_of_none(said, text):
    run, doubts = said(text)
    assert run.accelerator_seconds is None
    assert run.wall_seconds is None
    assert any("several models together" in one.message for one in doubts)


def test_what_a_sentence_gives_for_each_model_is_of_this_one(said):
    run, _ = said("Each of the three models took 1,000 A100 GPU hours to train.")
    assert run.accelerator_seconds.number == 1_000 * HOUR


@pytest.mark.parametrize(
    "text",
    [
        "Generating 500B synthetic tokens took 90,000 H100 GPU hours.",
        "Ablations took 90,000 H100 GPU hours.",
        "The hyperparameter search took 90,000 H100 GPU hours.",
        "Training the tokenizer took 90,000 H100 GPU hours.",
        "Failed training runs took another 90,000 H100 GPU hours.",
    ],
)
def test_other_work_is_not_the_training(said, text):
    run, doubts = said(text)
    assert run.accelerator_seconds is None
    assert any("other work" in one.message for one in doubts)


def test_words_of_data_work_in_a_sentence_on_training_change_nothing(said):
    run, _ = said("After filtering, the model was trained on 2.4T tokens for 1,000 A100 GPU hours.")
    assert run.tokens.number == 2.4e12
    assert run.accelerator_seconds.number == 1_000 * HOUR


def test_hours_of_another_part_are_no_hours_and_no_part(said):
    run, doubts = said("Training took 142K H100-equivalent GPU hours on a cluster of A100 GPUs.")
    assert run.accelerator.value == "A100"
    assert run.accelerator_seconds is None
    assert any("142K H100-equivalent GPU hours" in one.message for one in doubts)


def test_hours_of_cores_are_no_hours_of_chips(said):
    run, doubts = said("The model was trained in 700,000 TPU v4 core-hours.")
    assert run.accelerator_seconds is None
    assert any("700,000 core-hours" in one.message for one in doubts)


@pytest.mark.parametrize(
    "hours",
    ["277 GPU hours (wall clock)", "277 GPU hours of wall-clock time", "277 wall-clock hours"],
)
def test_hours_by_the_clock_beside_a_count(said, hours):
    # The unit of a device-hour is not a second number of devices.
    run, _ = said(f"The model was trained on 2.4T tokens with 512 H100 in {hours}.")
    assert run.accelerator_count.number == 512
    assert run.wall_seconds.number == 277 * HOUR
    assert run.accelerator_seconds is None or run.accelerator_seconds.number == 512 * 277 * HOUR


def test_sentences_behind_a_labels_value_are_read(said):
    run, _ = said("Hardware: 512 H100 SXM5. Training took 277 hours on 2.4T tokens.")
    assert run.accelerator_count.number == 512
    assert run.wall_seconds.number == 277 * HOUR
    assert run.tokens.number == 2.4e12


def test_a_range_of_flop_is_no_figure(said):
    run, doubts = said("Training took between 0.9e23 and 1.1e23 FLOP.")
    assert run.claimed_flop is None
    assert any("a range" in one.message for one in doubts)


@pytest.mark.parametrize(
    "text",
    [
        "The 9B model was trained with 8 trillion tokens, the 2B with 2 trillion.",
        "The 27B model was trained with 13T tokens, the 9B with 8T tokens and the 2B with 2T tokens.",
        "The 9B and 2B models were trained on 8T and 2T tokens, respectively.",
    ],
)
def test_amounts_of_several_sizes_are_of_none(said, text):
    run, doubts = said(text)
    assert run.tokens is None
    assert any("several models together" in one.message for one in doubts)


@pytest.mark.parametrize(
    "text",
    [
        "We trained the 7B model on 2.4T tokens.",
        "We trained 1B, 7B and 70B models on 2.4T tokens each.",
        "Our 7B model was trained on 2.4T tokens, 600B tokens of which are code.",
    ],
)
def test_one_amount_behind_the_sizes_is_of_each(said, text):
    run, _ = said(text)
    assert run.tokens.number == 2.4e12


@pytest.mark.parametrize(
    ("text", "count"),
    [
        # 768 x 8, and not 100 nodes of an "H100"
        (
            "It was trained using 768 DGX H100 nodes; each node contains 8 H100 80GB SXM5 GPUs.",
            6144,
        ),
        ("It was trained on 128 nodes of 4x GH200.", 512),
        ("Number of GPUs: 384 A100 80GB GPUs (48 nodes)", 384),
    ],
)
def test_the_digits_of_a_name_are_no_number_of_nodes(said, text, count):
    run, _ = said(text)
    assert run.accelerator_count.number == count
