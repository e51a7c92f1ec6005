"""Evidence comes from the audited party: nothing it holds may break the reader."""

import contextlib
import json
import os
import pathlib
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flopledger import logs
from flopledger.errors import FlopledgerError
from flopledger.logs import limits, numbers, unread
from flopledger.logs.document import Document
from flopledger.logs.evidence import EvidenceError
from flopledger.logs.notes import Notes
from flopledger.logs.readers import READERS
from flopledger.logs.source_text import product
from flopledger.logs.wire import crc32c

from .conftest import codes, read_files

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
QUIET = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

#: Pieces that readers look for, glued at random so that they are entered, not only refused.
PIECES = [
    b':::MLLOG {"key": "run_start", "time_ms": 1, "value": null, "metadata": {}}\n',
    b':::MLLOG {"key": "run_stop", "time_ms": 1e400, "metadata": {"status": [1]}}\n',
    b':::MLLOG {"key": "submission_benchmark", "time_ms": 5, "value": "gpt3"}\n',
    b':::MLLOG {"key": "train_samples", "time_ms": 7, "value": 99999999999999999999999}\n',
    b":::MLLOG {" + b"[" * 3000,
    b":::MLL 1558636000.5 run_start: {}\n",
    b'{"log_history": [{"num_tokens": -1, "train_runtime": "x"}, 7], "global_step": 1e999}',
    b'{"log_history": {}, "global_step": 5}',
    b'{"number_of_nodes": "-3", "accelerator_model_name": 9}',
    b'{"peft_type": [], "r": "x", "target_modules": {}}',
    b'{"model_type": {"a": 1}, "hidden_size": -5, "text_config": []}',
    b'{"startedAt": 1, "program": "", "gpu_nvidia": {"a": 1}, "gpu_count": "many"}',
    b'{"_runtime": "x", "_timestamp": 1}',
    b"step:  4  loss: nan  memory: 1.GiB(0.00%)  tps: ,,,  tflops: 1e309  mfu: 0.00%\n",
    b"[titan] 9999-99-99 99:99:99,508 step: 99999999999 tps: 1 memory: 1GiB(1%)\n",
    b" iteration   10/ 20 | elapsed time per iteration (ms): 1e999 | consumed samples: -4 |\n",
    b" iteration   5/ 20 | TFLOPs: nan | consumed samples: 7 | global batch size: 0 |\n",
    b"iter 3: loss nan, time 0.00ms, mfu -100.00%\n",
    b"step 00001/2 (1%) | loss: 1.0 | dt: 0.0ms | tok/sec: 0 | mfu: -1\n",
    b"step:1/1 train_loss:1 train_time:0ms step_avg:nanms\n",
    b"batch_size : int = 8*9999999999999999*9999999999999999\n",
    b"model = GPT(GPTConfig(n_layer=0, n_head=0, n_embd=0, vocab_size=0))\n",
    b"[batch=0/0]:\n Train time/token: 1e300\n Train time/batch: 1e-300\n",
    b"global_step=3, RunningAvgSamplesPerSec=inf, CurrSamplesPerSec=1\n",
    b"epoch,step,loss\n1e400,nan,\n",
    b"JobID|State|Elapsed|AllocTRES\n1|X|99999999-00:00:00|gres/gpu=9999999\n",
    b":W&B\x00\x00\x00\xff\xff\xff\xff",
    b"\x18\x00\x00\x00\x00\x00\x00\x00brain.Event:2",
    b"---\nbase_model: x\n---\n- **Hardware Type:** 0 x \n- train_batch_size: 1e9\n",
    b"_wandb:\n  value: 1\nmax_steps:\n  value: 1e400\n",
    b"\x00\xff\xfe\r\r\n\x1b[",
]


@QUIET
@given(data=st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), max_size=12).map(b"".join))
def test_no_reader_raises_anything_else(data, tmp_path):
    for name in ("x.md", "metrics/train_runtime", "params/max_steps"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        for reader in READERS:
            notes = Notes(name)
            try:
                reader.read(Document(path, name), notes)
            except FlopledgerError:
                continue
    evidence = read_files(tmp_path, "x.md", "metrics/train_runtime", "params/max_steps")
    logs.assemble(evidence)
    for fact in evidence.facts:
        assert fact.value == fact.value, "NaN is no value"
        assert fact.value not in (float("inf"), float("-inf"))


@pytest.mark.parametrize("piece", range(len(PIECES)))
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.format)
def test_each_reader_alone_on_each_piece(reader, piece, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(PIECES[piece])
    notes = Notes("metrics/params/x")
    with contextlib.suppress(FlopledgerError):
        reader.read(Document(path, "metrics/params/x"), notes)
    assert all(not isinstance(fact.value, float) or fact.value < 1e300 for fact in notes.facts)


def test_a_fault_of_a_reader_ends_no_audit(written, monkeypatch):
    monkeypatch.setattr(Notes, "fact", lambda *_, **__: [][0])
    evidence = written({"config.json": '{"model_type": "llama"}', "b.txt": "hello"})
    assert evidence.unread == ("config.json", "b.txt")
    assert "evidence-unreadable" in codes(evidence)


@QUIET
@given(data=st.data())
def test_damaged_copies_of_real_files(data, tmp_path):
    name = data.draw(st.sampled_from(["offline-run.wandb", "tensorboardx.tfevents"]))
    content = bytearray((FIXTURES / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    logs.assemble(read_files(tmp_path, name))


@given(st.text("0123456789+-.,eE:_*\n xn\u0661", max_size=80))
def test_numbers_are_finite_or_nothing(text):
    value = numbers.parse_number(text)
    assert value is None or abs(value) < float("inf")
    numbers.parse_duration(text)
    numbers.is_placeholder(text)
    product(text)


@given(st.integers(0, 10**12))
def test_thousands_separators(value):
    assert numbers.parse_number(f"{value:,}") == value


@pytest.mark.parametrize("text", ["1,2,3", "12,34", "1e99999", "9" * 5000, "0x10", "١٢", "--5"])
def test_what_is_no_number(text):
    assert numbers.parse_number(text) is None


def test_the_checksum_is_castagnolis():
    # The check value of CRC-32C in the catalogue of parametrised CRC algorithms.
    assert crc32c(b"123456789") == 0xE3069283


def test_deep_json_is_refused(written):
    text = '{"log_history": ' + "[" * 100_000 + "]" * 100_000 + ', "global_step": 1}'
    evidence = written({"trainer_state.json": text})
    assert evidence.unread == ("trainer_state.json",)
    assert "evidence-unreadable" in codes(evidence)


def test_a_line_of_ten_megabytes(written):
    mark = b':::MLLOG {"key": "run_start", "time_ms": 1000, "metadata": {}}\n'
    end = b':::MLLOG {"key": "run_stop", "time_ms": 9000, "metadata": {}}\n'
    began = time.process_time()
    evidence = written({"result_0.txt": mark + b"x" * 10_000_000 + b"\n" + end})
    assert time.process_time() - began < 5
    assert evidence.named("timed_seconds")[0].value == 8
    assert "evidence-truncated" in codes(evidence)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.format)
def test_regular_expressions_stay_linear(reader, tmp_path):
    lines = [b"iteration 1/ 2 |" + b" a: 1" * 50_000, b"step: 1 tps: " + b"loss: " * 40_000]
    lines += [b"| 0 " + b"N" * 200_000, b"GPT(" * 60_000, b"- a" + b" " * 200_000 + b":"]
    path = tmp_path / "metrics" / "long"
    path.parent.mkdir()
    path.write_bytes(b"\n".join(lines))
    document = Document(path, "metrics/long")
    began = time.process_time()
    reader.sniff(document.head, document.name)
    with contextlib.suppress(EvidenceError):
        reader.read(document, Notes("long"))
    assert time.process_time() - began < 2


def test_a_file_above_its_limit_is_refused_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "TEXT_BYTES", 100)
    log = ':::MLLOG {"key": "run_start", "time_ms": 1, "metadata": {}}\n' * 10
    (tmp_path / "r.txt").write_text(log)
    evidence = read_files(tmp_path, "r.txt")
    assert evidence.facts == ()
    assert evidence.unread == ("r.txt",)


def test_all_evidence_together_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "TOTAL_BYTES", 100)
    (tmp_path / "c.json").write_text(json.dumps({"model_type": "x" * 200}))
    with pytest.raises(EvidenceError, match="exceeds 100 bytes"):
        read_files(tmp_path, "c.json")


def test_a_link_out_of_the_folder_is_refused_and_named(tmp_path):
    outside = tmp_path / "secret.json"
    outside.write_text('{"model_type": "llama"}')
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").symlink_to(outside)
    (folder / "nowhere").symlink_to(tmp_path / "missing")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    evidence = read_files(tmp_path, "run")
    assert evidence.facts == ()
    assert set(evidence.unread) == {"run/config.json", "run/nowhere", "run/pipe"}
    assert "evidence-refused" in codes(evidence)


def test_too_many_files_and_too_deep_folders(tmp_path, monkeypatch):
    deep = tmp_path / "deep"
    (deep / "/".join("d" * (limits.FOLDER_DEPTH + 2))).mkdir(parents=True)
    with pytest.raises(EvidenceError, match="nested deeper"):
        read_files(tmp_path, "deep")
    many = tmp_path / "many"
    many.mkdir()
    for index in range(5):
        (many / f"{index}.txt").touch()
    monkeypatch.setattr(limits, "FILES", 3)
    with pytest.raises(EvidenceError, match="more than 3 files"):
        read_files(tmp_path, "many")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(EvidenceError, match="neither a file nor a folder"):
        read_files(tmp_path, "nothing.txt")


def test_what_nobody_knows_is_listed(written):
    evidence = written({"notes.txt": "hello", "empty": "", "blob": b"\x00\x01\x02"})
    assert evidence.unread == ("notes.txt", "empty", "blob")
    assert evidence.sources["notes.txt"].format is None


def test_sources_carry_digests(written):
    evidence = written({"notes.txt": "hello"})
    # sha256 of "hello"
    assert evidence.sources["notes.txt"].sha256.startswith("2cf24dba5fb0a30e")
    assert evidence.sources["notes.txt"].size_bytes == 5


def test_a_source_that_states_no_heads_is_not_countable_and_no_failure(tmp_path):
    (tmp_path / "log.txt").write_text(
        "model = GPT(GPTConfig(n_layer=0, n_head=0, n_embd=0, vocab_size=0))\n"
        "step:1/1 train_loss:1 train_time:10ms step_avg:nanms\n"
    )
    evidence = read_files(tmp_path, "log.txt")
    assert "architecture-not-countable" in {one.code for one in evidence.findings}


#: What makes a pattern that looks for "spaces, then a word" start anew at every place.
_MONOTONOUS = [
    b"\n",
    b" ",
    b"\t\n",
    b" \n",
    b"\r",
    b"|",
    b"-",
    b"1",
    b"a: 1\n",
    b"Job Id: 1\n",
    b"{",
    b'"',
    b"x\n\n",
]


@pytest.mark.parametrize("piece", _MONOTONOUS, ids=repr)
def test_nobody_takes_long_to_recognise_or_to_name_a_monotonous_file(tmp_path, piece):
    # A pattern whose time grows with the square of the length takes minutes here.
    path = tmp_path / "file.txt"
    path.write_bytes(b"x\n" + piece * (limits.HEAD_BYTES // 2 // len(piece)))
    begun = time.monotonic()
    for reader in READERS:
        reader.sniff(path.read_bytes(), path.name)
    unread.why(Document(path, path.name))
    assert time.monotonic() - begun < 60
