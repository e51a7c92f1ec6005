"""Figures that are not what they look like: unseen characters, other digits, letters of another script."""

import codecs
import gzip
import json

import pytest

from flopledger import logs
from flopledger.logs import limits
from flopledger.logs.document import Document

from .conftest import codes, value

STEPS = "".join(
    f" iteration {n:8d}/     100 | consumed samples: {n * 64:12d} | elapsed time per iteration (ms): 1000.0 "
    f"| global batch size:    64 | lm loss: 5.0E+00 |\n"
    for n in range(1, 51)
)
STATE = {
    "global_step": 9,
    "max_steps": 9,
    "total_flos": 1.0,
    "log_history": [{"step": 9, "loss": 1.0}],
}


@pytest.mark.parametrize("hidden", ["\u200b", "\u00ad", "\ufeff", "\u2060", "\u200e"])
def test_a_figure_with_an_unseen_character_inside_is_read_as_it_is_seen(written, hidden):
    evidence = written({"a.log": STEPS.replace("1000.0", f"10{hidden}00.0")})
    assert value(evidence, "timed_seconds") == 50  # 50 steps of 1,000 ms, and not of 10
    assert "disguised-figures" in codes(evidence)


@pytest.mark.parametrize(
    "figure", ["\u202e0.0001\u202c", "\uff11\uff10\uff10\uff10.0", "\u0661\u0660.0"]
)
def test_figures_that_are_turned_or_of_another_script_are_not_read(written, figure):
    evidence = written({"a.log": STEPS.replace("1000.0", figure)})
    assert not evidence.named("timed_seconds")
    assert value(evidence, "steps") == 50
    assert "disguised-figures" in codes(evidence)


def test_a_label_with_letters_of_another_script_is_named(written):
    evidence = written({"a.log": STEPS.replace("elapsed", "\u0435lapsed")})
    assert not evidence.named("timed_seconds")
    assert "disguised-figures" in codes(evidence)


def test_other_scripts_beside_figures_are_no_disguise(written):
    beside = "Пример: шаг 5, 例 7, 10 μs, ████ 50%, 👩\u200d💻 ok, שלום\n"
    evidence = written({"a.log": beside + STEPS})
    assert "disguised-figures" not in codes(evidence)
    assert value(evidence, "timed_seconds") == 50


def test_digits_of_another_language_in_a_text_are_no_reproach(written):
    card = "---\nbase_model: x\n---\n\u8a13\u7df4 \uff11\uff10 \u5929. It was trained on 8 A100 for 3 days.\n"
    evidence = written({"README.md": card})
    told = [one.severity for one in evidence.findings if one.code == "disguised-figures"]
    assert told == ["info"]


@pytest.mark.parametrize(
    "encoded",
    [
        codecs.BOM_UTF32_LE + STEPS.encode("utf-32-le"),
        codecs.BOM_UTF32_BE + STEPS.encode("utf-32-be"),
        codecs.BOM_UTF16_LE + STEPS.encode("utf-16-le"),
        STEPS.encode("utf-32-be"),
        STEPS.encode("utf-16-le"),
        STEPS.encode("utf-16-be"),
    ],
)
def test_wide_encodings_are_read_with_their_mark_or_without(written, encoded):
    assert value(written({"a.log": encoded}), "timed_seconds") == 50


def test_a_key_that_stands_twice_is_refused(written):
    evidence = written({"trainer_state.json": json.dumps(STATE)[:-1] + ', "global_step": 3}'})
    assert codes(evidence) == {"evidence-unreadable"}
    assert "'global_step' stands twice" in evidence.findings[0].message


def test_json_that_would_fill_the_memory_is_refused_before_it_is_decoded(written):
    # 3 bytes of text to a table of 64 bytes: 12 MB would be 300 MB
    bomb = json.dumps(STATE)[:-2] + ",{}" * 2_000_000 + "]}"
    evidence = written({"trainer_state.json": bomb})
    assert codes(evidence) == {"evidence-unreadable"}
    assert "more memory" in evidence.findings[0].message


def test_a_packed_text_beyond_the_limit_is_refused_and_not_cut(written):
    text = "---\nbase_model: x\n---\nWe trained on 8 A100 for 3 days.\n" + "word " * (
        limits.SMALL_BYTES // 5
    )
    evidence = written({"README.md.gz": gzip.compress(text.encode())})
    assert codes(evidence) == {"evidence-unreadable"}
    assert not evidence.named("said_wall_seconds")


def test_facts_beyond_those_that_are_kept_are_counted(written):
    config = {"model_type": "llama"} | {f"k{n}": n + 1 for n in range(limits.FACTS_PER_FILE)}
    evidence = written({"config.json": json.dumps(config)})
    told = [one.message for one in evidence.findings if one.code == "evidence-truncated"]
    assert told == ["1 facts beyond the 5,000 that are kept of one file were left out"]


def test_one_file_that_is_too_large_does_not_end_the_audit(written, tmp_path):
    with (tmp_path / "sparse.log").open("wb") as file:
        file.write(STEPS.encode())
        file.truncate(10 << 30)
    (tmp_path / "b.log").write_text(STEPS)
    evidence = logs.read([logs.EvidenceFile(path=tmp_path, name="runs")])
    assert value(evidence, "timed_seconds") == 50
    assert evidence.unread == ("runs/sparse.log",)


@pytest.mark.parametrize("said", ["1:30", "8 * 4", "4-8", "2024/01/02"])
def test_what_begins_with_a_figure_is_no_figure(written, said):
    text = f"learning_rate: 1e-4\nmicro_batch_size: {said}\nsequence_len: 2048\n"
    evidence = written({"config.yaml": text})
    assert not evidence.named("per_process_batch")
    assert value(evidence, "sequence_limit") == 2048


def test_an_account_of_a_whole_cluster_is_refused(written):
    rows = "".join(f"{n}|COMPLETED|60|gres/gpu=8\n" for n in range(20_001))
    evidence = written({"sacct.txt": "JobID|State|ElapsedRaw|AllocTRES\n" + rows})
    assert codes(evidence) == {"evidence-unreadable"}


def test_the_sum_of_many_jobs_is_not_lost_behind_the_single_ones(written):
    rows = "".join(f"{n}|FAILED|60|gres/gpu=8\n" for n in range(6_000))
    evidence = written({"sacct.txt": "JobID|State|ElapsedRaw|AllocTRES\n" + rows})
    assert value(evidence, "accelerator_seconds") == 6_000 * 480
    failed = [one.message for one in evidence.findings if one.code == "aborted-run"]
    assert failed == ["6000 of 6000 jobs ended as FAILED; the devices were held all the same"]


def test_a_bar_that_rewrites_its_line_for_hours_is_read(written):
    # one line of some 600 KB, where lines end at 262,144 characters
    bars = "\r".join(
        f"Epoch 0:  {n // 50}%|##   | {n}/5000 [00:10<00:10, reduced_train_loss=2.1, global_step={n}.0, "
        f"consumed_samples={n * 64}.0, train_step_timing in s=2.000]"
        for n in range(4500)
    )
    evidence = written({"nemo.log": f"start\n{bars}\nend\n"})
    assert value(evidence, "steps") == 4500
    assert "evidence-truncated" not in codes(evidence)


def test_lines_that_end_in_carriage_returns_alone_may_be_many(written):
    steps = "".join(STEPS for _ in range(40)).replace("\n", "\r")
    assert len(steps) > limits.LINE_CHARACTERS
    assert value(written({"a.log": steps}), "steps") == 50


def test_what_is_appended_while_a_file_is_read_is_neither_read_nor_hashed(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("one\ntwo\nthr")
    document = Document(path, "a.log")
    before = document.sha256()
    with path.open("a") as file:
        file.write("ee\nfour\n")
    assert document.sha256() == before
    assert [text for _, text in document.lines()] == ["one", "two"]  # half a line is none
