"""MLPerf Training's first round, and its machine descriptions."""

import json

import pytest

from flopledger import logs

from .conftest import codes, value


def mark(at, tag, shown=None, name="resnet"):
    text = "" if shown is None else f": {json.dumps(shown)}"
    return f":::MLPv0.5.0 {name} {1_541_000_000 + at}.25 (/workspace/train.py:49) {tag}{text}\n"


def run(epochs, *, first=0, success=True, evaluations=()):
    lines = [mark(0, "run_start"), mark(1, "preproc_num_train_examples", 1_281_167)]
    lines += [mark(10 + 100 * at, "train_epoch", first + at) for at in range(epochs)]
    lines += [
        mark(11 + 100 * epochs, "eval_accuracy", {"epoch": epoch, "value": 0.7})
        for epoch in evaluations
    ]
    return "".join(lines) + mark(20 + 100 * epochs, "run_stop", {"success": success})


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_are_counted_from_either_end(written, first):
    facts = logs.assemble(written({"result_0.txt": run(62, first=first)}))
    assert facts.epochs.number == 62
    assert facts.samples.number == 62 * 1_281_167
    assert facts.timed_seconds.number == 6220
    assert facts.status.value == "success"
    assert facts.forward_flop_per_sample == 8.178e9


def test_one_printed_epoch_and_evaluations_that_name_the_others(written):
    facts = logs.assemble(written({"result_0.txt": run(1, evaluations=[3, 83])}))
    assert facts.epochs.number == 84


def test_a_run_without_success_or_without_an_end(written):
    facts = logs.assemble(written({"result_0.txt": run(20, success=False)}))
    assert facts.status.value == "aborted"
    assert "aborted-run" in codes(facts)
    cut = "".join(run(20).splitlines(keepends=True)[:-1])
    facts = logs.assemble(written({"result_0.txt": cut}))
    assert facts.epochs.number == 19  # the last one was not finished
    assert facts.timed_seconds.bound == "at least"


def entry(part, each, nodes=1):
    node = {"num_nodes": nodes, "accelerator": part, "num_accelerators": each}
    return json.dumps({"hardware": "a machine", "nodes": [node]})


def test_machines_and_tpu_slices(written):
    found = written({"entry.json": entry("Tesla V100-SXM2-16GB", 8, nodes=128)})
    assert value(found, "accelerator_count") == 1024
    # A slice is named after its cores, two a chip, whatever number of hosts drives it.
    found = written({"entry.json": entry("tpuv3-512", 512, nodes=32)})
    assert value(found, "accelerator_count") == 256


def test_an_unknown_benchmark_gives_time_and_epochs(written):
    text = run(3).replace(" resnet ", " ncf ").replace("preproc_num_train", "preproc_hp")
    facts = logs.assemble(written({"result_0.txt": text}))
    assert facts.epochs.number == 3
    assert facts.samples is None
    assert {"unknown-benchmark", "tokens-missing"} <= codes(facts)
