"""Hugging Face Trainer states, results, adapters, cards and configurations."""

import json

import pytest

from flopledger import logs
from flopledger.facts import Grade

from .conftest import codes, value

ENDLESS = 9223372036854775807


def state(rows=(), **more):
    table = {"global_step": 1000, "max_steps": 1000, "epoch": 2.0, "num_train_epochs": 2}
    return json.dumps(table | {"log_history": list(rows)} | more)


def end(runtime=500.0, rate=64.0, **more):
    return {
        "train_runtime": runtime,
        "train_samples_per_second": rate,
        "train_steps_per_second": 2.0,
        "step": 1000,
        **more,
    }


def test_samples_come_from_the_rates(written):
    facts = logs.assemble(written({"trainer_state.json": state([end()])}))
    # 64 samples/s x 500 s / 1000 steps = 32 a step
    assert facts.global_batch.number == 32
    assert facts.samples.number == 32000
    assert facts.accelerator_count is None  # no hardware is recorded here


@pytest.mark.parametrize("zero", [0, 0.0])
def test_total_flos_of_zero_is_not_no_compute(written, zero):
    facts = logs.assemble(written({"trainer_state.json": state(total_flos=zero)}))
    assert facts.claimed_flop is None
    assert "counter-zero" in codes(facts)


def test_total_flos_is_a_claim(written):
    evidence = written({"trainer_state.json": state(total_flos=1.5e17)})
    assert evidence.named("claimed_flop")[0].grade is Grade.CLAIM


def test_zero_tokens_seen_is_not_tracked(written):
    facts = logs.assemble(written({"trainer_state.json": state(num_input_tokens_seen=0)}))
    assert facts.tokens is None
    assert "counter-zero" in codes(facts)


def test_a_stopped_run_counts_the_steps_done(written):
    text = state([end()], global_step=400, max_steps=1000)
    facts = logs.assemble(written({"trainer_state.json": text}))
    # The rates divide what was planned: 64 x 500 / 1000 = 32 a step, of which 400 were done.
    assert facts.samples.number == 400 * 32
    assert "stopped-early" in codes(facts)


def test_streaming_has_no_number_of_epochs(written):
    evidence = written({"trainer_state.json": state(num_train_epochs=ENDLESS)})
    assert evidence.named("planned_epochs") == ()
    assert value(evidence, "planned_steps") == 1000


def test_resumed_processes_add_up(written):
    rows = [{"num_tokens": 100.0}, end(300.0), {"num_tokens": 250.0}, end(200.0)]
    facts = logs.assemble(written({"trainer_state.json": state(rows)}))
    assert facts.timed_seconds.number == 500
    assert facts.tokens.number == 250
    assert "resumed-run" in codes(facts)


def test_a_token_counter_that_starts_again_is_added_up(written):
    rows = [{"num_tokens": tokens} for tokens in (100, 200, 50, 150)]
    facts = logs.assemble(written({"trainer_state.json": state(rows)}))
    # 200 before the reset and 150 after it
    assert facts.tokens.number == 350
    assert "counter-reset" in codes(facts)


def test_nan_in_the_history_is_nothing(written):
    text = state([{"loss": 1, "num_tokens": 7}]).replace('"loss": 1', '"loss": NaN, "x": Infinity')
    assert value(written({"trainer_state.json": text}), "tokens") == 7


def test_results_beside_the_state_may_disagree(written):
    results = {"train_runtime": 450.0, "train_loss": 1.0, "train_samples": 5000, "epoch": 2.0}
    files = {"trainer_state.json": state([end()]), "all_results.json": json.dumps(results)}
    evidence = written(files)
    facts = logs.assemble(evidence)
    assert {fact.value for fact in evidence.named("timed_seconds")} == {500.0, 450.0}
    assert facts.timed_seconds.alternatives
    assert "clock-disagreement" in codes(facts)
    assert value(evidence, "dataset_samples") == 5000


CARD = """---
base_model: meta-llama/Llama-3.1-8B
library_name: peft
---
### Training hyperparameters

The following hyperparameters were used during training:
- train_batch_size: 4
- distributed_type: multi-GPU
- num_devices: 8
- gradient_accumulation_steps: 2
- total_train_batch_size: 64
- training_steps: 1000
- num_epochs: 3.0

- **Hardware Type:** 8 x NVIDIA A100
- **Hours used:** 24
- **Carbon Emitted:** [More Information Needed]
"""


def test_a_model_card_is_a_statement(written):
    evidence = written({"README.md": CARD, "trainer_state.json": state(train_batch_size=4)})
    facts = logs.assemble(evidence)
    assert value(evidence, "accelerator") == "NVIDIA A100"
    assert value(evidence, "base_model") == "meta-llama/Llama-3.1-8B"
    assert value(evidence, "hours_used") == 24
    assert "unit-ambiguity" in codes(evidence)
    assert facts.accelerator_seconds is None
    assert facts.accelerator_count.number == 8
    assert facts.samples.number == 1000 * 64
    assert all(fact.grade is Grade.STATEMENT for fact in evidence.named("accelerator_count"))


def test_an_unfilled_card_says_nothing(written):
    card = CARD.replace("8 x NVIDIA A100", "[More Information Needed]").replace("24", "TBD")
    evidence = written({"README.md": card})
    assert evidence.named("accelerator") == ()
    assert evidence.named("hours_used") == ()


def test_an_adapter_freezes_the_rest(written):
    adapter = {"peft_type": "LORA", "r": 16, "target_modules": ["v_proj", "q_proj"]}
    adapter["base_model_name_or_path"] = "org/base-7b"
    config = {"model_type": "llama", "_name_or_path": "org/other-13b"}
    evidence = written(
        {"adapter_config.json": json.dumps(adapter), "config.json": json.dumps(config)}
    )
    facts = logs.assemble(evidence)
    assert facts.kind.value == "lora"
    assert {"frozen-parameters", "config-name-mismatch"} <= codes(facts)


LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def test_a_plain_configuration_gives_the_shape(written):
    facts = logs.assemble(written({"config.json": json.dumps(LLAMA)}))
    assert facts.architecture == {
        "kind": "decoder",
        "layers": 32,
        "hidden": 4096,
        "heads": 32,
        "kv_heads": 8,
        "head_dim": 128,
        "ffn": 14336,
        "ffn_matrices": 3,
        "vocabulary": 128256,
        "tied_embeddings": False,
    }
    assert facts.config_file == "config.json"


@pytest.mark.parametrize(
    "change", [{"model_type": "mystery"}, {"num_local_experts": 8}, {"hidden_size": None}]
)
def test_a_shape_that_is_not_plain_is_left_to_the_counter(written, change):
    facts = logs.assemble(written({"config.json": json.dumps(LLAMA | change)}))
    assert facts.architecture is None
    assert facts.config_file == "config.json"


def test_pixels_counted_as_tokens(written):
    config = {
        "model_type": "vit",
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "image_size": 224,
        "num_channels": 3,
    }
    # 12 layers x 12 x 768² = 85e6 weights; every one of 3 x 224 x 224 values as a token.
    claim = 6 * 85e6 * 3 * 224 * 224 * 32000
    files = {
        "config.json": json.dumps(config),
        "trainer_state.json": state([end()], total_flos=claim),
    }
    facts = logs.assemble(written(files))
    assert facts.input == {"image": (224, 224)}
    assert "counter-implausible" in codes(facts)
    files["trainer_state.json"] = state([end()], total_flos=claim / 768)
    assert "counter-implausible" not in codes(logs.assemble(written(files)))


def test_partitioned_parameters_make_a_total_far_too_low(written):
    # 8.0e9 parameters and 1e6 tokens: 4.8e16 FLOP; a counter on one of 64 shards sees 7.5e14.
    text = state([{"num_tokens": 1e6}], total_flos=4.8e16 / 64)
    files = {"trainer_state.json": text, "config.json": json.dumps(LLAMA)}
    assert "counter-implausible" in codes(logs.assemble(written(files)))
    files["trainer_state.json"] = state([{"num_tokens": 1e6}], total_flos=4.5e16)
    assert "counter-implausible" not in codes(logs.assemble(written(files)))
    files = {"trainer_state.json": state(total_flos=1e8)}
    assert "counter-implausible" in codes(logs.assemble(written(files)))


def test_files_beside_a_model_are_known(written):
    evidence = written({"tokenizer_config.json": '{"tokenizer_class": "LlamaTokenizer"}'})
    assert evidence.unread == ()
    assert evidence.facts == ()


def test_gpu_hours_of_a_card(written):
    card = CARD.replace("**Hours used:** 24", "**GPU hours:** 1,500")
    facts = logs.assemble(written({"README.md": card}))
    assert facts.accelerator_seconds.number == 1500 * 3600


def test_evaluations_longer_than_the_run_tell_of_a_resume(written):
    rows = [{"eval_runtime": 400.0, "eval_samples_per_second": 2.0}] * 3
    facts = logs.assemble(written({"trainer_state.json": state([*rows, end(500.0)])}))
    assert "coverage-gap" in codes(facts)
    facts = logs.assemble(written({"trainer_state.json": state([*rows, end(1500.0)])}))
    assert "coverage-gap" not in codes(facts)


def results(**changes):
    figures = {"epoch": 12.22, "train_loss": 0.06, "train_runtime": 16_800.0}
    return json.dumps(figures | {"train_samples": 6540, "train_samples_per_second": 4.76} | changes)


def test_results_alone_tell_the_samples_by_passes_over_the_data(written):
    facts = logs.assemble(written({"all_results.json": results()}))
    assert facts.samples.number == 79_919  # 12.22 x 6,540 = 79,918.8
    assert facts.samples.bound == "exact"


def test_planned_samples_are_an_upper_bound_and_a_batch_of_one_process_a_lower_one(written):
    facts = logs.assemble(written({"all_results.json": results(train_samples=None)}))
    assert facts.samples.number == 79_968  # 4.76 x 16,800
    assert facts.samples.bound == "at most"
    state = {"global_step": 10_000, "max_steps": 10_000, "train_batch_size": 4, "log_history": []}
    facts = logs.assemble(written({"trainer_state.json": json.dumps(state)}))
    assert facts.samples.number == 40_000
    assert facts.samples.bound == "at least"
    assert facts.tokens is None


def test_tokens_written_before_the_last_step_are_said_to_be_short(written):
    # 1000 steps in all, the counter last written at step 5
    evidence = written({"trainer_state.json": state([{"num_tokens": 500.0, "step": 5}])})
    assert value(evidence, "tokens") == 500
    assert "coverage-gap" in codes(evidence)


@pytest.mark.parametrize("key", ["tokens_seen", "train/total_tokens", "num_tokens_trained"])
def test_a_counter_of_another_program_is_read_by_its_name(written, key):
    rows = [{key: 100, "step": 500}, {key: 250, "step": 1000}]
    facts = logs.assemble(written({"trainer_state.json": state(rows)}))
    assert facts.tokens.number == 250


@pytest.mark.parametrize(
    "rows",
    [
        # Of a step or a batch: it does not grow; and a name that nobody knows.
        [{"tokens_seen": 100}, {"tokens_seen": 90}, {"tokens_seen": 110}],
        [{"total_tokens": 100}, {"total_tokens": 100}],
        [{"my_tokens": 100}, {"my_tokens": 250}],
    ],
)
def test_tokens_that_may_be_of_a_step_are_named_and_not_used(written, rows):
    facts = logs.assemble(written({"trainer_state.json": state(rows)}))
    assert facts.tokens is None
    (finding,) = [one for one in facts.findings if one.code == "unit-ambiguity"]
    assert "was not used" in finding.message


@pytest.mark.parametrize(("step", "is_earlier"), [(500, True), (1000, False)])
def test_of_one_step_there_is_one_state(written, step, is_earlier):
    files = {
        "a/trainer_state.json": state([{"num_tokens": 100.0}], global_step=step),
        "b/trainer_state.json": state([{"num_tokens": 300.0}]),
    }
    facts = logs.assemble(written(files))
    assert ("earlier-checkpoints" in codes(facts)) is is_earlier
    # Both count tokens of the same steps, and cannot both be right: that asks.
    assert ("amount-mismatch" in codes(facts)) is not is_earlier


def test_what_a_weaker_source_says_leaves_a_log_standing(written):
    # The Trainer's own counter includes padding; TRL's rows do not.
    text = state([{"num_tokens": 100.0}], num_input_tokens_seen=90)
    facts = logs.assemble(written({"trainer_state.json": text}))
    assert facts.tokens.number == 100
    assert "amount-mismatch" not in codes(facts)
