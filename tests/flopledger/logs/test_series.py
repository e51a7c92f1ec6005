"""One run in several files."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_nodes_of_two_jobs_are_one_run(written):
    # Four nodes print what one does; the second job goes on from the checkpoint at 80.
    jobs = {"j1": job(range(10, 110, 10)), "j2": job(range(90, 510, 10), 2)}
    files = {
        f"{name}-n{node}.log": f"node {node}\n{text}"
        for name, text in jobs.items()
        for node in range(4)
    }
    facts = logs.assemble(written(files))
    assert facts.steps.number == 500
    assert facts.samples.number == 500 * 64
    assert facts.timed_seconds.number == 520  # 20 steps twice, and none of them four times
    assert {"joined-logs", "duplicate-evidence"} <= codes(facts)
    assert not {"evidence-conflict", "clock-disagreement"} & codes(facts)


def test_an_attempt_that_broke_off_inside_of_another_was_spent(written):
    # 1 to 100; from 70 to 90 again, killed; from 70 to 200.
    files = {
        "a.log": job(range(10, 110, 10), 1),
        "b.log": job(range(80, 100, 10), 2),
        "c.log": job(range(80, 210, 10), 3),
    }
    facts = logs.assemble(written(files))
    assert facts.steps.number == 200
    assert facts.timed_seconds.number == 100 + 20 + 130
    assert "joined-logs" in codes(facts)


def test_copies_without_clocks_are_of_the_same_steps_and_time(written):
    lines = "".join(
        f"completed step: {step}, seconds: 2.0, TFLOP/s/device: 120.0, total_weights: 4096, "
        f"loss: {9 - step / 10:.2f}\n"
        for step in range(10)
    )
    facts = logs.assemble(
        written({"p0.log": f"process 0\n{lines}", "p1.log": f"process 1\n{lines}"})
    )
    assert facts.tokens.number == 10 * 4096
    assert facts.timed_seconds.number == 20
    assert "duplicate-evidence" in codes(facts)
    # Another run of the same plan takes another time; nobody says which of them is meant.
    other = lines.replace("seconds: 2.0", "seconds: 3.0")
    facts = logs.assemble(written({"p0.log": f"process 0\n{lines}", "p1.log": other}))
    assert "clock-disagreement" in codes(facts)


@pytest.mark.parametrize("in_one_file", [True, False])
def test_a_run_after_one_that_had_ended_is_another(written, in_one_file):
    first, second = job(range(10, 510, 10), 1), job(range(10, 510, 10), 2)
    files = {"a.log": first + second} if in_one_file else {"a.log": first, "b.log": second}
    facts = logs.assemble(written(files))
    assert (facts.steps, facts.samples, facts.timed_seconds) == (None, None, None)
    assert "several-runs" in codes(facts)


def test_another_plan_from_the_start_is_another_run(written):
    other = job(range(10, 60, 10), 2).replace("/  500 |", "/   50 |")
    facts = logs.assemble(written({"a.log": job(range(10, 210, 10)) + other}))
    assert facts.samples is None
    assert "several-runs" in codes(facts)
    # A run that had not ended and begins again is done again.
    facts = logs.assemble(written({"a.log": job(range(10, 210, 10)) + job(range(10, 510, 10), 2)}))
    assert facts.steps.number == 500
    assert facts.timed_seconds.number == 700


@settings(max_examples=15, deadline=None)
@given(
    jobs=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=4),
    nodes=st.integers(1, 3),
    cut=st.integers(0, 2),
    has_clocks=st.booleans(),
)
def test_whatever_jobs_and_copies(tmp_path_factory, jobs, nodes, cut, has_clocks):
    """Each job goes on some checkpoints before the end of what was done, and reaches beyond it."""
    folder = tmp_path_factory.mktemp("jobs")
    done, spent, names = 0, 0, []
    for day, (back, further) in enumerate(jobs, start=1):
        begin = max(0, done - 100 * back)
        if day > 1 and begin == 0:
            break  # from the start again: nobody can tell that from another run
        end = done + 100 * further
        for node in range(nodes):
            # A copy may lack its last lines.
            text = job(range(begin + 10, end + 1 - 10 * (cut if node else 0), 10), day)
            if not has_clocks:
                text = re.sub(r"\[[^]]*\] ", "", text).replace("lm loss: ", f"lm loss: {day}")
            names.append(f"{node}-{day}.log")
            (folder / names[-1]).write_text(f"node {node}\n{text.replace('/  500', '/ 9999')}")
        spent += end - begin
        done = end
    files = [logs.EvidenceFile(path=folder / name, name=name) for name in sorted(names)]
    facts = logs.assemble(logs.read(files))
    assert facts.steps.number == done
    assert facts.samples.number == done * 64
    assert facts.timed_seconds.number == spent


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


def test_runs_that_were_started_at_once_are_no_copies_of_one_another(tmp_path) -> None:
    def log(name: str, milliseconds: float) -> logs.EvidenceFile:
        path = tmp_path / name
        path.write_text(
            "  seq_length ...................................... 2048\n"
            + "".join(
                f" [2024-01-01 00:{count:02d}:00] iteration {10 * count:8d}/      40 | consumed samples: "
                f"{5120 * count:12d} | elapsed time per iteration (ms): {milliseconds:.1f} | "
                f"global batch size:   512 | lm loss: {9 - count / 10:.6E} |\n"
                for count in (1, 2, 3, 4)
            )
        )
        return logs.EvidenceFile(path=path, name=name)

    # Ranks of one job wait for one another: 40 steps of 6,000 and of 6,060 ms are the same steps.
    ranks = logs.assemble(logs.read([log("a.log", 6000), log("b.log", 6060)]))
    assert "duplicate-evidence" in codes(ranks)
    assert ranks.samples is not None
    # 6,000 and 7,000 ms are not: which of the two runs the case is about, nobody says.
    runs = logs.assemble(logs.read([log("a.log", 6000), log("c.log", 7000)]))
    assert "several-runs" in codes(runs)
    assert runs.samples is None
    assert runs.timed_seconds is None


DUMP = """\
using world size: {world}, data-parallel size: {world}
------------------------ arguments ------------------------
  seq_length ...................................... {length}
  world_size ...................................... {world}
-------------------- end of arguments ---------------------
"""


def launch(steps, *, world=8, length=2048, day=1):
    return DUMP.format(world=world, length=length) + job(steps, day)


def run_of(written, first, second, *, appended):
    """Two launches: as two files, or one below the other in one."""
    files = {"a.log": first + second} if appended else {"a.log": first, "b.log": second}
    return logs.assemble(written(files))


@pytest.mark.parametrize("appended", [False, True])
def test_a_restart_on_other_devices_adds_device_seconds_up(written, appended):
    # 100 steps on 8 devices; then from the checkpoint at 80, 120 steps on 32; a second each.
    first, second = launch(range(10, 110, 10)), launch(range(90, 210, 10), world=32, day=2)
    facts = run_of(written, first, second, appended=appended)
    assert facts.accelerator_seconds.number == 100 * 8 + 120 * 32
    assert facts.accelerator_count is None
    assert facts.tokens.number == 200 * 64 * 2048
    assert "settings-changed" in codes(facts)
    assert "device-count-mismatch" not in codes(facts)


@pytest.mark.parametrize("appended", [False, True])
def test_sequences_that_grow_between_launches_are_multiplied_each_with_its_own(written, appended):
    # 80 steps of the first launch are kept, 120 are of the second.
    first, second = launch(range(10, 110, 10)), launch(range(90, 210, 10), length=8192, day=2)
    facts = run_of(written, first, second, appended=appended)
    short, long = 80 * 64 * 2048, 120 * 64 * 8192
    assert facts.tokens.number == short + long
    assert facts.accelerator_seconds.number == 220 * 8
    # Attention costs in proportion to the length, so its sum is that of the mean over tokens.
    mean = (short * 2048 + long * 8192) / (short + long)
    assert facts.tokens_per_sample.number == pytest.approx(mean, abs=1e-3)


def test_a_length_that_one_launch_does_not_print_is_not_made_up(written):
    parts = [
        launch(range(10, 110, 10)),
        job(range(110, 210, 10), 2),
        launch(range(210, 310, 10), length=8192, day=3),
    ]
    facts = logs.assemble(written({f"{index}.log": text for index, text in enumerate(parts)}))
    assert facts.tokens is None
    finding = next(one for one in facts.findings if one.code == "settings-changed")
    assert finding.severity == "warning"
    assert "not printed" in finding.message


def test_batches_of_launches_that_count_no_samples(written):
    # Without consumed samples: steps x batch, launch by launch.
    first = re.sub(r" consumed samples: \d+ \|", "", launch(range(10, 110, 10)))
    second = re.sub(r" consumed samples: \d+ \|", "", launch(range(110, 210, 10), day=2))
    second = second.replace("global batch size: 64", "global batch size: 256")
    facts = run_of(written, first, second, appended=False)
    assert facts.samples.number == 100 * 64 + 100 * 256
    assert facts.tokens.number == facts.samples.number * 2048


def test_step_lines_without_a_readable_time_are_named(written):
    text = job(range(10, 110, 10))
    broken = text.replace("(ms): 1000.0", "(ms): nan", 1)
    facts = logs.assemble(written({"a.log": broken}))
    finding = next(one for one in facts.findings if "no time that can be read" in one.message)
    assert "1 of 10 step lines" in finding.message
    assert finding.evidence == ("a.log: line 1",)


TITAN = (
    "[titan] 2025-03-{day:02d} {clock} - root - INFO - step: {step}  loss: 2.1  memory: 66.91GiB(37.51%)  "
    "tps: 10,050  tflops: 480.0  mfu: 48.5%\n"
)


def titan(first, last, *, world, length, day):
    """A launch that prints every ten steps, which take a minute."""
    head = (
        f"[titan] 2025-03-{day:02d} 10:00:00,000 - root - INFO - Building 1-D device mesh with "
        f"['dp_shard'], [{world}]\n"
        f"[titan] 2025-03-{day:02d} 10:00:01,000 - root - INFO - Training starts at step {first + 1}, with "
        f"local batch size 1, global batch size 64, sequence length {length}, total steps 200\n"
    )
    return head + "".join(
        TITAN.format(day=day, clock=f"10:{1 + index:02d}:01,000", step=step)
        for index, step in enumerate(range(first + 10, last + 1, 10))
    )


@pytest.mark.parametrize("appended", [False, True])
def test_launches_of_torchtitan_are_added_up_by_their_stamps(written, appended):
    first = titan(0, 100, world=8, length=2048, day=1)
    second = titan(100, 200, world=32, length=8192, day=4)
    facts = run_of(written, first, second, appended=appended)
    assert facts.tokens.number == 100 * 64 * 2048 + 100 * 64 * 8192
    # Nine intervals of a minute between the stamps of each; the three days between them are nobody's.
    assert facts.accelerator_seconds.number == 9 * 60 * 8 + 9 * 60 * 32
    assert facts.accelerator_seconds.bound == "at least"
    assert facts.timed_seconds.number == 18 * 60
    assert facts.timed_seconds.bound == "at least"


def test_launches_of_nanogpt_with_other_accumulation_are_added_up(written):
    def launch(first, each):
        rows = [
            f"iter {step}: loss 3.2, time 250.00ms, mfu 35.00%"
            for step in range(first, first + 1000, 10)
        ]
        return f"tokens per iteration will be: {each:,}\n" + "\n".join(rows) + "\n"

    facts = logs.assemble(written({"a.log": launch(0, 1000) + launch(1000, 3000)}))
    # Printed are 0, 10, ... 990 and 1000 ... 1990: a print speaks for the ten steps up to it.
    assert facts.tokens.number == 990 * 1000 + 1000 * 3000
    assert "settings-changed" in codes(facts)


SACCT = (
    "JobIDRaw|State|ElapsedRaw|AllocTRES\n"
    "1|COMPLETED|{seconds}|gres/gpu:h100={gpus},gres/gpu={gpus},node=1\n"
)


@pytest.mark.parametrize(
    ("gpus", "seconds", "asked"),
    [
        # The log: 8 ranks for 100 s.
        (8, 130, set()),
        (8, 50, {"device-time-mismatch"}),  # a job shorter than its own log
        (8, 1000, {"device-time-mismatch"}),  # nine tenths of what was held are in no log
        (16, 130, {"device-count-mismatch"}),
    ],
)
def test_a_schedulers_account_is_held_against_the_log(written, gpus, seconds, asked):
    files = {"a.log": launch(range(10, 110, 10)), "s.txt": SACCT.format(gpus=gpus, seconds=seconds)}
    facts = logs.assemble(written(files))
    found = {one.code for one in facts.findings if one.severity == "warning"}
    assert found & {"device-time-mismatch", "device-count-mismatch"} == asked


@pytest.mark.parametrize("program", ["megatron", "torchtitan"])
def test_a_launch_that_did_no_step_says_nothing_of_the_run(written, program):
    if program == "megatron":
        ran, crashed = launch(range(10, 110, 10)), launch((), world=2, length=512)
    else:
        ran = titan(0, 100, world=8, length=2048, day=2)
        crashed = titan(0, 0, world=2, length=512, day=1)
    for text in (crashed + ran, ran + crashed):
        facts = logs.assemble(written({"a.log": text}))
        assert facts.accelerator_count.number == 8
        assert facts.tokens.number == 100 * 64 * 2048
        assert "settings-changed" not in codes(facts)
        assert "device-count-mismatch" not in codes(facts)
