"""Logs that carry the program's source: read as text, by several generations of the program."""

import pytest

from flopledger import logs

from .conftest import codes, value

RULER = "=" * 100 + "\n"
SMI = """| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
|   0  NVIDIA H100 80GB HBM3          Off |   00000000:18:00.0 Off |                    0 |
| N/A   31C    P0            115W /  700W |    6787MiB /  81559MiB |      1%      Default |
|   1  NVIDIA H100 80GB HBM3          Off |   00000000:2A:00.0 Off |                    0 |
|    0   N/A  N/A     47031      C   /usr/bin/python3                                0MiB |
"""
SOURCE = """class GPTConfig:
    vocab_size : int = 50304
    n_layer : int = 12
    n_head : int = 6
    n_embd : int = 768
        self.c_fc = CastedLinear(config.n_embd, 4 * config.n_embd, bias=False)
    batch_size : int = 8*60 # batch size, in sequences, across all devices
    device_batch_size : int = 10
    sequence_length : int = 1024
num_vocab = 50304
model = GPT(GPTConfig(vocab_size=num_vocab, n_layer=52, n_head=12, n_embd=1536))
model = model.cuda().bfloat16()
"""


def log(source=SOURCE, steps=((1, 9000), (10, 10000), (11, 100), (20, 1000))):
    lines = "".join(
        f"step:{step}/20 train_loss:3.2 train_time:{time}ms step_avg:nanms\n"
        for step, time in steps
    )
    return RULER + source + RULER + SMI + RULER + lines


def test_the_call_outranks_the_defaults(written):
    facts = logs.assemble(written({"run.txt": log()}))
    assert facts.architecture == {
        "kind": "decoder",
        "layers": 52,
        "hidden": 1536,
        "heads": 12,
        "kv_heads": 12,
        "head_dim": 128,
        "ffn": 6144,
        "ffn_matrices": 2,
        "vocabulary": 50304,
        "tied_embeddings": False,
    }
    # 20 steps x 480 sequences x 1024
    assert facts.tokens.number == 20 * 480 * 1024
    assert facts.precision.value == "bf16"


def test_the_clock_that_starts_again(written):
    evidence = written({"run.txt": log()})
    assert value(evidence, "timed_seconds") == 1.0
    assert value(evidence, "untimed_steps") == 10
    assert "coverage-gap" in codes(evidence)
    straight = written({"run.txt": log(steps=((10, 1000), (20, 2000)))})
    assert straight.named("untimed_steps") == ()


def test_a_host_lists_more_than_held_a_process(written):
    evidence = written({"run.txt": log()})
    assert value(evidence, "visible_accelerators") == 2
    assert value(evidence, "accelerator") == "NVIDIA H100 80GB HBM3"
    assert "device-count-mismatch" in codes(evidence)


@pytest.mark.parametrize(
    "source, each",
    [
        ("    batch_size = 8*64*1024 # batch size in tokens\n", 8 * 64 * 1024),
        ("    train_batch_size: int = 2048 * 16 * 8\n", 2048 * 16 * 8),
        (
            "    train_seq_len = 48*1024\nloader(args.files, world_size * args.train_seq_len)\n",
            2 * 48 * 1024,
        ),
    ],
)
def test_ways_to_say_the_batch(written, source, each):
    model = (
        "model: nn.Module = GPT(\n    vocab_size=50257,\n    num_layers=12,\n    num_heads=6,\n"
        "    head_dim=128,\n    model_dim=768,\n).cuda()\n"
    )
    facts = logs.assemble(written({"run.txt": log(source + model)}))
    assert facts.tokens.number == 20 * each
    assert facts.architecture["hidden"] == 768


def test_a_scheduled_batch_is_declined(written):
    source = "    batch_size : int = 8\n    sequence_length : int = 64\nbs_schedule = (8, 16)\n"
    facts = logs.assemble(written({"run.txt": log(source)}))
    assert facts.tokens is None
    assert "tokens-missing" in codes(facts)


def test_source_is_never_run(written, tmp_path):
    marker = tmp_path / "ran"
    evil = f"__import__('pathlib').Path({str(marker)!r}).touch()\nbatch_size = 9**9**9\n"
    written({"run.txt": log(evil + SOURCE)})
    assert not marker.exists()
