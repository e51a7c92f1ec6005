"""One run in several files."""

import json

from flopledger import logs

from .conftest import codes

LINE = (
    " [2024-09-{day:02d} 15:00:54] iteration {step:8d}/  500 | consumed samples: {samples} | elapsed "
    "time per iteration (ms): 1000.0 | global batch size: 64 | lm loss: {loss:.6E} |\n"
)


def job(steps, day=1):
    return "".join(
        LINE.format(day=day, step=step, samples=step * 64, loss=10 - step / 100) for step in steps
    )


def test_logs_that_follow_one_another_are_one_run(written):
    files = {"b.log": job(range(110, 210, 10), 2), "a.log": job(range(10, 110, 10))}
    facts = logs.assemble(written(files))
    assert facts.steps.number == 200
    assert facts.samples.number == 200 * 64
    assert facts.timed_seconds.number == 200
    assert "joined-logs" in codes(facts)
    assert "evidence-conflict" not in codes(facts)


def test_steps_done_again_by_the_next_job_were_spent(written):
    # The first job ends at 100, the second goes on from the checkpoint at 80.
    files = {"a.log": job(range(10, 110, 10)), "b.log": job(range(90, 210, 10), 2)}
    evidence = written(files)
    facts = logs.assemble(evidence)
    assert facts.steps.number == 200
    assert facts.samples.number == 200 * 64
    assert facts.timed_seconds.number == 220  # 20 steps twice


def test_logs_of_two_runs_are_not_joined(written):
    files = {"a.log": job(range(10, 110, 10)), "b.log": job(range(10, 60, 10), 2)}
    facts = logs.assemble(written(files))
    assert "joined-logs" not in codes(facts)
    assert "evidence-conflict" in codes(facts)


def state(step, tokens):
    return json.dumps(
        {
            "global_step": step,
            "max_steps": 1000,
            "total_flos": tokens * 6e9,
            "log_history": [{"num_tokens": tokens}],
        }
    )


def test_the_latest_checkpoint_speaks(written):
    config = json.dumps(
        {
            "model_type": "gpt2",
            "n_layer": 12,
            "n_embd": 768,
            "n_head": 12,
            "vocab_size": 50257,
        }
    )
    files = {}
    for step in (500, 1000, 900):
        files[f"out/checkpoint-{step}/trainer_state.json"] = state(step, step * 100)
        files[f"out/checkpoint-{step}/config.json"] = config
    facts = logs.assemble(written(files))
    assert facts.steps.number == 1000
    assert facts.tokens.number == 100_000
    assert facts.claimed_flop.number == 100_000 * 6e9
    assert facts.architecture["layers"] == 12
    assert {"earlier-checkpoints"} == codes(facts)


def test_configurations_that_differ_are_nobodys_choice(written):
    files = {
        "a/config.json": '{"model_type": "llama", "num_hidden_layers": 2}',
        "b/config.json": '{"model_type": "llama", "num_hidden_layers": 4}',
    }
    assert logs.assemble(written(files)).config_file is None
