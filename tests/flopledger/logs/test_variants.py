"""One content, many ways in which it reaches an auditor: the same facts, or a clear refusal."""

import bz2
import codecs
import gzip
import json
import lzma

import pytest

from flopledger import logs

from .conftest import codes
from .test_console import megatron, titan
from .test_mlperf import event, settings, system

MLPERF = (
    settings("llama31_8b", 32, max_sequence_length=8192)
    + event("run_start", 0)
    + event("run_stop", 1000, status="success", samples_count=3200)
)
NANOGPT = "tokens per iteration will be: 491,520\nnumber of parameters: 123.59M\n" + "".join(
    f"iter {step}: loss 3.{step:04d}, time 1000.00ms, mfu 20.00%\n" for step in range(0, 50, 10)
)
STATE = json.dumps(
    {
        "global_step": 100,
        "max_steps": 100,
        "total_flos": 1.5e15,
        "train_batch_size": 8,
        "num_input_tokens_seen": 500000,
        "log_history": [
            {"train_runtime": 50.0, "train_samples_per_second": 16.0, "step": 100, "loss": 1.0}
        ],
    },
    indent=2,
)
SACCT = (
    "JobIDRaw|State|ElapsedRaw|AllocTRES\n"
    "77|COMPLETED|3600|billing=8,cpu=64,gres/gpu=8,gres/gpu:h100=8,node=1\n"
    "77.batch|COMPLETED|3600|cpu=64,gres/gpu=8,node=1\n"
)
CARD = (
    "---\nbase_model: google/mt5-small\n---\n### Training hyperparameters\n\n"
    "The following hyperparameters were used during training:\n- train_batch_size: 16\n"
    "- total_train_batch_size: 64\n- num_devices: 2\n"
)
LIGHTNING = "epoch,step,train_loss\n0,0,1.5\n0,49,1.2\n"
FORMATS = {
    "result_0.txt": MLPERF,
    "system.json": system(),
    "titan.log": "".join(titan(step, step) for step in (1, 2, 3)),
    "megatron.log": "".join(megatron(step, step) for step in (10, 20, 30)),
    "nano.log": NANOGPT,
    "trainer_state.json": STATE,
    "sacct.txt": SACCT,
    "README.md": CARD,
    "metrics.csv": LIGHTNING,
}


def values(evidence: logs.Evidence) -> set[tuple[str, object]]:
    return {(fact.name, fact.value) for fact in evidence.facts}


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


VARIANTS = {
    "carriage returns": crlf,
    "byte order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "mark and carriage returns": lambda text: codecs.BOM_UTF8 + crlf(text),
    "PowerShell": lambda text: codecs.BOM_UTF16_LE + crlf(text).decode().encode("utf-16-le"),
    "big-endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "no last newline": lambda text: text.rstrip("\n").encode(),
    "trailing blank lines": lambda text: text.encode() + b"\n\n\n",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_facts_in_every_dress(written, name, variant):
    plain = written({name: FORMATS[name]})
    assert plain.unread == ()
    assert plain.facts
    dressed = written({name: VARIANTS[variant](FORMATS[name])})
    assert dressed.unread == ()
    assert values(dressed) == values(plain)


PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("end", PACKERS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_packed_file_is_read(written, name, end):
    plain = written({name: FORMATS[name]})
    packed = written({name + end: PACKERS[end](FORMATS[name].encode())})
    assert packed.unread == ()
    assert values(packed) == values(plain)


@pytest.mark.parametrize("end", PACKERS)
def test_a_packed_file_that_was_cut_is_refused(written, end):
    data = PACKERS[end]("".join(titan(step, step % 60) for step in range(1, 2000)).encode())
    evidence = written({"titan.log" + end: data[: len(data) // 2]})
    assert evidence.facts == ()
    assert "evidence-unreadable" in codes(evidence)


def test_a_bomb_is_refused(written, monkeypatch):
    monkeypatch.setattr("flopledger.logs.limits.UNPACKED_BYTES", 1 << 16)
    text = FORMATS["nano.log"] + "x" * 60 + "\n" + "0\n" * (1 << 16)
    for end, pack in PACKERS.items():
        evidence = written({f"nano.log{end}": pack(text.encode())})
        assert evidence.facts == ()
        assert "evidence-unreadable" in codes(evidence)


def test_an_xz_file_that_asks_for_memory_is_refused(written, monkeypatch):
    # Level 9 unpacks with a window of 64 MiB.
    monkeypatch.setattr("flopledger.logs.limits.UNPACKING_MEMORY_BYTES", 1 << 24)
    evidence = written({"nano.log.xz": lzma.compress(FORMATS["nano.log"].encode(), preset=9)})
    assert evidence.facts == ()
    assert "evidence-unreadable" in codes(evidence)


@pytest.mark.parametrize("name", ["result_0.txt", "titan.log", "megatron.log", "nano.log"])
def test_a_line_of_a_megabyte_is_skipped_and_said(written, name):
    text = FORMATS[name]
    middle = text.index("\n", len(text) // 2) + 1
    evidence = written({name: text[:middle] + "#" * (1 << 20) + "\n" + text[middle:]})
    assert values(evidence) == values(written({name: text}))
    assert "evidence-truncated" in codes(evidence)


@pytest.mark.parametrize("name", ["titan.log", "megatron.log", "nano.log"])
def test_a_line_that_was_cut_adds_nothing(written, name):
    text = FORMATS[name]
    steps = {fact.value for fact in written({name: text}).named("steps")}
    cut = written({name: text[: text.rstrip("\n").rindex("\n") + 25]})
    assert {fact.value for fact in cut.named("steps")} < steps | {value - 1 for value in steps} | {
        value - 10 for value in steps
    }
    assert cut.unread == ()


def test_trainer_state_cut_in_the_middle_gives_nothing(written):
    evidence = written({"trainer_state.json": STATE[: len(STATE) // 2]})
    assert evidence.facts == ()
