"""A recording's life: how it begins and ends, and what it leaves of models, threads, processes and files."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import shutil
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils import stateless  # noqa: E402

import flopledger  # noqa: E402
import profilers.ledger  # noqa: E402
from flopledger.recording import book  # noqa: E402
from profilers.steps.record.ledger import read_steps  # noqa: E402
from tests.recording.conftest import TRAIN, Run, batch, mlp, sgd, train  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


def test_an_exception_ends_the_record_in_order(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)

    def broken() -> None:
        with run.record():
            train(model, optimizer, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert run.process.sealed == "raised KeyboardInterrupt"
    assert run.flop == [TRAIN, TRAIN]


def test_a_decorated_function(run: Run) -> None:
    model = mlp()

    @run.record()
    def fit() -> str:
        train(model, sgd(model), 2)
        return "done"

    assert fit() == "done"
    assert run.flop == [TRAIN, TRAIN]


def test_recording_twice_into_one_folder_adds_a_ledger(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    for _ in range(2):
        with run.record():
            train(model, optimizer, 2)
    totals = run.totals
    assert len(totals.ranks) == 2


def test_two_recordings_at_once_see_the_same(run: Run, tmp_path: Path) -> None:
    model = mlp()
    optimizer = sgd(model)
    other = Run(tmp_path / "other")
    with run.record():
        train(model, optimizer)
        with other.record():
            train(model, optimizer, 2)
        train(model, optimizer)
    assert run.flop == [TRAIN] * 4
    assert other.flop == [TRAIN] * 2


def test_recordings_that_end_in_another_order_leave_nothing_behind(
    run: Run, tmp_path: Path
) -> None:
    """The first one's layers lay under the second one's when it ended, and stayed there for ever."""
    model, other = mlp(), Run(tmp_path / "other")
    optimizer = sgd(model)
    places = [
        (torch.autograd, "_engine_run_backward"), (stateless, "_reparametrize_module"),
        *((torch.nn.Module, name) for name in ("__init__", "_apply", "__reduce_ex__", "state_dict")),
        *((torch.optim.Optimizer, name) for name in ("__init__", "load_state_dict")),
    ]  # fmt: skip
    before = [vars(owner).get(name) for owner, name in places]
    first, second = run.record().start(), other.record()
    train(model, optimizer)
    second.start()
    train(model, optimizer)
    first.stop()
    train(model, optimizer)
    second.stop()
    assert [vars(owner).get(name) for owner, name in places] == before
    assert [module._compiled_call_impl for module in model.modules()] == [None] * 5
    assert (run.flop, other.flop) == ([TRAIN] * 2, [TRAIN] * 2)


def test_what_others_put_over_ours_stays(run: Run) -> None:
    recording = run.record().start()
    ours = torch.nn.Module._apply
    torch.nn.Module._apply = theirs = lambda self, *args, **more: ours(self, *args, **more)  # type: ignore[method-assign]
    try:
        recording.stop()
        assert torch.nn.Module._apply is theirs
        mlp().double()
        with run.record():
            pass
        assert torch.nn.Module._apply is theirs
    finally:
        torch.nn.Module._apply = ours  # type: ignore[method-assign]
    with run.record():
        assert torch.nn.Module._apply is not ours
    assert torch.nn.Module._apply.__module__ == "torch.nn.modules.module"


def test_nothing_stays_behind(run: Run) -> None:
    import gc

    model = mlp()
    before = [dict(module.__dict__) for module in model.modules()]
    made = torch.nn.Module.__init__
    with run.record():
        train(model, sgd(model), 2)
    assert torch.nn.Module.__init__ is made
    gc.collect()
    for module, state in zip(model.modules(), before, strict=True):
        assert module.__dict__.keys() == state.keys()
        assert module._compiled_call_impl is None
    assert not any(type(item).__name__ == "Seam" for item in gc.get_objects())


def test_a_recorded_model_can_be_copied_saved_and_shared(run: Run, tmp_path: Path) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record():
        train(model, optimizer)
        twin = copy.deepcopy(model)
        shallow = copy.copy(model)
        again = pickle.loads(pickle.dumps(model))
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        with pytest.warns(Warning, match="jit"):
            scripted = torch.jit.trace(model, batch(), check_trace=False)
        model.share_memory()
        x = batch()
        expected = model(x)
        for other in (twin, shallow, again, loaded, scripted):
            assert torch.equal(other(x), expected)
        assert list(model.state_dict()) == list(twin.state_dict())
        train(twin, sgd(twin))
    assert b"flopledger" not in pickle.dumps(model)
    assert run.notes() == {"work-outside-modules"}  # what was traced was computed, too


def test_a_dropped_model_is_not_kept_alive(run: Run) -> None:
    import gc
    import weakref

    with run.record():
        model = mlp()
        train(model, sgd(model), 2)
        other = mlp()
        gone = weakref.ref(model)
        del model
        train(other, sgd(other), 2)
        gc.collect()
        assert gone() is None
    assert run.flop == [TRAIN] * 4


def test_threads(run: Run) -> None:
    models = [mlp() for _ in range(4)]
    with run.record():
        threads = [
            threading.Thread(target=lambda m=model: [m(batch()).sum().backward() for _ in range(5)])
            for model in models
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sgd(*models).step()
    assert run.flop == [4 * 5 * TRAIN]


def test_data_loader_workers_write_nothing(run: Run) -> None:
    class Rows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            return helper(torch.ones(8)).detach()

    helper, model = mlp(), mlp()
    optimizer = sgd(model)
    with run.record():
        train(model, optimizer)
        loader = torch.utils.data.DataLoader(
            Rows(), batch_size=4, num_workers=2, multiprocessing_context="fork"
        )
        for rows in loader:
            model(rows).sum().backward()
            optimizer.step()
    assert run.flop == [TRAIN] * 3


def test_resume_is_explicit_or_read_from_the_optimizer(run: Run, tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, 5)
    with run.record():
        train(model, optimizer, 2)
    assert [step.number for step in run.process.steps()] == [6, 7]
    assert run.process.resumes[0].source == "optimizer-state"
    other = Run(tmp_path / "other")
    with other.record() as recording:
        recording.resume(100)
        train(model, optimizer, 2)
    assert [step.number for step in other.process.steps()] == [101, 102]


@pytest.mark.parametrize(("turns", "before"), [(0, 4), (1, 8), (3, 16)])
def test_where_several_optimizers_go_on(
    run: Run, tmp_path: Path, turns: int, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four rounds: optimizers that step together make 4 steps, taking turns 4 x (1 + turns)."""
    # What is written keeps its number; on a busy machine a second passes before the other one steps.
    monkeypatch.setattr(book, "FLUSH_SECONDS", 60.0)
    first, second = mlp(), mlp()
    optimizers = [torch.optim.Adam(model.parameters()) for model in (first, second)]

    def rounds(count: int) -> None:
        for _ in range(count):
            if turns:
                train(first, optimizers[0], turns)
                train(second, optimizers[1])
            else:
                (first(batch()).sum() + second(batch()).sum()).backward()
                for optimizer in optimizers:
                    optimizer.step()

    with run.record():
        rounds(4)
    assert [step.number for step in run.process.steps()][-1] == before
    again = Run(tmp_path / "again")
    with again.record():
        rounds(1)
    assert next(again.process.steps()).number == before + 1


@pytest.mark.parametrize("flush_seconds", [0.0, 60.0])
def test_several_optimizers_go_on_however_slow_their_turns_are(
    run: Run, flush_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first one did is written before the second one says that it had stepped before, too."""
    monkeypatch.setattr(book, "FLUSH_SECONDS", flush_seconds)
    models = [mlp() for _ in range(3)]
    optimizers = [torch.optim.Adam(model.parameters()) for model in models]
    for rounds in (4, 2):
        with run.record():
            for _ in range(rounds):
                for model, optimizer in zip(models, optimizers, strict=True):
                    train(model, optimizer)
    totals = run.totals
    # 4 rounds of 3 steps and 2 of 3, none of them done again.
    assert (totals.steps, totals.redone_steps) == (18, 0)
    assert totals.model_flop == 18 * TRAIN
    last = max(read_steps(run.path), key=lambda process: process.wall_ns)
    assert [step.number for step in last.steps()] == [13, 14, 15, 16, 17, 18]


@pytest.mark.parametrize("flush_seconds", [0.0, 60.0])
def test_what_is_saved_before_the_last_optimizer_speaks_has_its_number(
    run: Run, flush_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two optimizers, four rounds: eight steps. The ninth is saved before the second one says that it had
    stepped before, too: until then it is the fifth."""
    monkeypatch.setattr(book, "FLUSH_SECONDS", flush_seconds)
    models = [mlp(), mlp()]
    adam = torch.optim.Adam(models[0].parameters())
    other = torch.optim.Adam(models[1].parameters())
    for rounds in (4, 2):
        with run.record():
            for number in range(rounds):
                train(models[0], adam)
                if rounds == 2 and number == 0:
                    models[0].state_dict()
                    adam.state_dict()
                train(models[1], other)
    last = max(read_steps(run.path), key=lambda process: process.wall_ns)
    assert [step.number for step in last.steps()] == [9, 10, 11, 12]
    assert {one.step for one in last.weights if one.what == "saved"} == {9}


@pytest.mark.parametrize("before", [0, 7])
def test_an_optimizer_that_is_made_anew_resumes_nothing(run: Run, before: int) -> None:
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, before)
    with run.record():
        train(model, optimizer, 3)
        other = torch.optim.Adam(model.parameters(), lr=1e-4)
        other.load_state_dict(optimizer.state_dict())
        train(model, other, 2)
    assert [step.number for step in run.process.steps()] == [before + n for n in range(1, 6)]
    assert [resume.step for resume in run.process.resumes] == [before] * bool(before)


def test_starting_and_stopping_by_hand(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    recording = run.record().start()
    assert recording.start() is recording
    train(model, optimizer)
    assert recording.active
    recording.stop("enough")
    recording.stop()
    train(model, optimizer)
    recording.step(tokens=5)
    assert run.flop == [TRAIN]
    assert run.process.sealed == "enough"


def test_a_folder_that_cannot_be_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(flopledger.FlopledgerError, match="choose another folder"):
        flopledger.record(tmp_path / "file" / "run").start()


def test_a_folder_that_nobody_may_write_into_is_refused_before_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights by a stand-in (a superuser has them all), a path too long for a ledger for real."""

    def denied(**_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    with pytest.raises(flopledger.FlopledgerError, match=r"Permission denied.*another folder"):
        flopledger.record(tmp_path / "run").start()
    monkeypatch.undo()
    long = tmp_path
    while len(str(long)) < 4050:  # of 4,096: the folder fits, and a ledger below it does not
        long = long / ("x" * min(200, 4060 - len(str(long))))
    with pytest.raises(flopledger.FlopledgerError, match="name too long"):
        flopledger.record(long).start()


def test_a_disk_that_is_full_at_first_may_have_room_later(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = profilers.ledger.append_whole

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        monkeypatch.setattr(profilers.ledger, "append_whole", full)
        train(model, optimizer, 2)
        waiting = recording.summary()
        monkeypatch.setattr(profilers.ledger, "append_whole", whole)
    assert run.flop == [TRAIN, TRAIN]
    assert waiting["model_flop"] is None
    (lost,) = waiting["findings"]
    assert lost["code"] == "steps-lost"
    # The second one may still be told something: it is over when the next begins.
    assert "1 of this process's 1 steps" in lost["message"]
    assert "No space left on device" in lost["message"]
    assert recording.summary()["model_flop"] == 2 * TRAIN


def test_a_disk_that_stays_full_leaves_a_ledger_that_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = profilers.ledger.append_whole

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(book, "MOST_WAITING", 3)
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        train(model, optimizer, 2)
        recording.flush()
        monkeypatch.setattr(profilers.ledger, "append_whole", full)
        for _ in range(5):
            with recording.span("away"):
                pass
            train(model, optimizer)
            recording.flush()
        monkeypatch.setattr(profilers.ledger, "append_whole", whole)
    # 2 before, then 5 of which the newest 3 were kept.
    assert run.totals.steps == 5
    assert run.totals.model_flop is None
    assert run.totals.model_bounds == (5 * TRAIN, None)
    assert ("steps-lost", "error") in {(f.code, f.severity) for f in run.totals.findings}
    assert run.process.sealed == "finished"


@pytest.mark.parametrize("room", [1000, 0])
def test_a_file_that_may_not_become_longer_is_continued_in_another(
    run: Run, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """As below ``ulimit -f``: each file takes so many bytes, with ``room`` more for a last short line."""
    whole, longest = profilers.ledger.append_whole, 4000

    def limited(descriptor: int, data: bytes) -> None:
        limit = longest + (room if b'"seal"' in data else 0)
        if os.lseek(descriptor, 0, os.SEEK_END) + len(data) > limit:
            raise OSError(errno.EFBIG, "File too large")
        whole(descriptor, data)

    monkeypatch.setattr(profilers.ledger, "append_whole", limited)
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for _ in range(40):
            train(model, optimizer)
            recording.flush()
    totals = run.totals
    assert len(totals.ranks) > 2
    assert (totals.steps, totals.redone_steps, totals.trainings) == (40, 0, 1)
    assert totals.model_flop == totals.hardware_flop == 40 * TRAIN
    codes = {finding.code for finding in totals.findings}
    assert "recorded-twice" not in codes
    assert ("recording-interrupted" in codes) is (not room)  # some had no room for their last word


def test_a_file_too_short_for_any_step_is_no_reason_for_another(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = profilers.ledger.append_whole

    def limited(descriptor: int, data: bytes) -> None:
        if os.lseek(descriptor, 0, os.SEEK_END) + len(data) > 800:
            raise OSError(errno.EFBIG, "File too large")
        whole(descriptor, data)

    monkeypatch.setattr(profilers.ledger, "append_whole", limited)
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for _ in range(5):
            train(model, optimizer)
            recording.flush()
        summary = recording.summary()
    assert len(list((run.path / "steps").iterdir())) == 1
    assert summary["findings"][0]["code"] == "steps-lost"


def test_lines_beside_steps_that_a_full_disk_costs_are_counted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = profilers.ledger.append_whole

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(book, "MOST_WAITING", 3)
    with run.record() as recording:
        train(model := mlp(), sgd(model))
        recording.flush()
        monkeypatch.setattr(profilers.ledger, "append_whole", full)
        for number in range(5):
            with recording.span(f"away {number}"):
                pass
            recording.loss(1.0)
            recording.flush()
        monkeypatch.setattr(profilers.ledger, "append_whole", whole)
    # Of five spans and five losses the newest three each were kept.
    assert [note.message for note in run.process.notes if note.code == "lines-lost"] == [
        "4 spans, notes and losses are lost (No space left on device): work in spans is a lower bound"
    ]
    assert [span.what for span in run.process.spans] == ["away 2", "away 3", "away 4"]
    assert run.totals.model_flop == TRAIN  # no step was lost


def test_a_record_that_is_removed_goes_on_with_what_follows(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        train(model, optimizer, 4)
        recording.flush()
        shutil.rmtree(run.path)
        train(model, optimizer, 2)
    # Written and gone are the first three: the fourth is over when the fifth begins.
    assert run.flop == [TRAIN] * 3
    assert run.process.blocks[0].first == 4
    assert [note.message for note in run.process.notes] == [
        "3 steps are lost (the ledger was removed): no figure holds them"
    ]
    summary = recording.summary()
    assert (summary["steps"], summary["model_flop"]) == (3, None)
    assert summary["detail"]["model_flop_bounds"] == [3 * TRAIN, None]
    assert [f["code"] for f in summary["findings"]].count("steps-lost") == 1
    assert len(run.process.devices) == 1


def test_a_record_that_is_moved_is_said_to_be_elsewhere(run: Run, tmp_path: Path) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        train(model, optimizer)
        recording.flush()
        run.path.rename(tmp_path / "elsewhere")
        train(model, optimizer)
    summary = recording.summary()
    assert summary["model_flop"] is None
    assert "was moved" in summary["findings"][0]["message"]
    run.path = tmp_path / "elsewhere"
    assert run.flop == [TRAIN, TRAIN]


def test_a_recording_without_a_step_has_no_figure(tmp_path) -> None:
    """Nothing that ended a step is unknown, not a training of 0 FLOP."""
    model = torch.nn.Linear(3, 3)
    with flopledger.record(tmp_path / "run", model=model) as run:
        model(torch.zeros(2, 3))
    summary = run.summary()
    assert summary["steps"] == 0
    assert (summary["model_flop"], summary["hardware_flop"], summary["tokens"]) == (None,) * 3
    assert "no-steps" in {finding["code"] for finding in summary["findings"]}
    # 2 x 2 x 3 x 3 for the product, nothing for its sum: seen, and no part of any step.
    assert summary["detail"]["span_flop"] == {"unfinished": 36}


def test_a_short_run_does_not_call_counting_waiting(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        train(model, optimizer, 3)
    shares = recording.summary()["detail"]["time_shares"]
    # The loop waits for nothing; what lies between its steps is the recorder's start and one count.
    assert shares["recorder"] > shares["waiting"]
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_program_that_goes_elsewhere_takes_no_record_with_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    model = mlp()
    with flopledger.record(run.path.name, sampler=False) as recording:
        monkeypatch.chdir(tmp_path / "elsewhere")
        train(model, sgd(model))
    assert run.flop == [TRAIN]
    assert recording.summary()["model_flop"] == TRAIN
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_rank_that_let_go_of_the_others_is_still_that_rank(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that a program forks have no launcher's variables; short trainings write at their end."""
    from flopledger.recording import book
    from profilers.steps.record.identity import Identity

    group = [Identity(rank=1, local_rank=1, world_size=2)]
    alone = Identity(rank=0, local_rank=0, world_size=1)
    monkeypatch.setattr(book, "identity", lambda: group[0] if group else alone)
    model = mlp()
    with run.record():
        train(model, sgd(model), 2)
        group.clear()  # destroy_process_group()
    assert (run.process.rank, run.process.world_size) == (1, 2)
