"""On which devices did a process compute? All that its models lie on are named, and are the denominator.

No GPU here: parameters and inputs say where they lie, and torch is asked what it knows of devices.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

import flopledger  # noqa: E402
from flopledger.recording.totals import read_totals  # noqa: E402
from flopledger.recording.utilisation import utilisation  # noqa: E402
from profilers.steps.record.devices import computing_on  # noqa: E402
from profilers.steps.record.ledger import StepLedger, read_steps  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

nn = torch.nn
H100 = "NVIDIA H100 80GB HBM3"


class Placed(nn.Parameter):  # type: ignore[name-defined,misc]
    """Says that it lies somewhere else than it does."""

    where: Any = torch.device("cpu")

    @property
    def device(self) -> Any:
        return self.where


def on(index: int | None, module: Any) -> Any:
    """Have a module's parameters say that they lie on a GPU, or on the processor."""
    for name, old in list(module.named_parameters(recurse=False)):
        new = Placed(old.detach())
        new.where = torch.device("cpu") if index is None else torch.device("cuda", index)
        setattr(module, name, new)
    for child in module.children():
        on(index, child)
    return module


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def about(index: int) -> Any:
        return SimpleNamespace(name=H100, uuid=f"{index}", total_memory=80 << 30, major=9)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", about)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


def train(folder: Path, *stages: Any, after: Any = None) -> Any:
    """Three steps through stages that are called one after another, and three more after a change."""
    optimizer = torch.optim.SGD([p for s in stages for p in s.parameters()], lr=0.01, foreach=False)
    with flopledger.record(folder, sampler=False):
        for number in range(6):
            if number == 3 and after is not None:
                after()
            x = torch.randn(4, 8)
            for stage in stages:
                x = stage(x)
            x.sum().backward()
            optimizer.step()
    (process,) = read_steps(folder)
    return process


def named(process: Any) -> list[tuple[str, int | None, str | None]]:
    return [(each.type, each.index, each.uuid) for each in process.devices]


@pytest.mark.usefixtures("gpus")
class TestOneProcess:
    def test_parts_of_one_model(self, tmp_path: Path) -> None:
        """As ``device_map`` spreads it, its embedding on the processor."""
        model = nn.Sequential(
            *(on(place, nn.Linear(8, 8)) for place in (None, 0, 1, 2)),
        )
        found = named(train(tmp_path, model))
        assert found == [("cuda", each, f"GPU-{each}") for each in range(3)]
        totals = read_totals(tmp_path)
        assert totals is not None
        assert len(totals.devices) == 3
        held = (totals.ranks[0].last_ns - totals.ranks[0].start_ns) / 1e9
        assert totals.device_seconds == pytest.approx(3 * held)
        used = utilisation(totals)
        assert used.device_count == 3
        # 66.9 TFLOP/s in single precision on each of three devices.
        assert used.mfu == pytest.approx(totals.model_flop / (3 * held * 66.9e12), rel=0.01)

    def test_stages_that_are_called_one_by_one(self, tmp_path: Path) -> None:
        process = train(tmp_path, on(1, nn.Linear(8, 8)), on(3, nn.Linear(8, 8)))
        assert named(process) == [("cuda", 1, "GPU-1"), ("cuda", 3, "GPU-3")]

    def test_one_device_by_two_names(self, tmp_path: Path) -> None:
        """A library says ``cuda``, the parameters of another part ``cuda:0``: one device."""
        hooked = on(None, nn.Linear(8, 8))
        hooked._hf_hook = SimpleNamespace(execution_device=torch.device("cuda"))
        process = train(tmp_path, hooked, on(0, nn.Linear(8, 8)))
        assert named(process) == [("cuda", 0, "GPU-0")]

    def test_a_model_that_moves(self, tmp_path: Path) -> None:
        """Its calls are of the kind that they were."""
        model = nn.Linear(8, 8)

        def moves() -> None:
            on(2, model)

        found = named(train(tmp_path, on(None, model), after=moves))
        assert found == [("cpu", None, None), ("cuda", 2, "GPU-2")]
        totals = read_totals(tmp_path)
        assert totals is not None
        assert totals.on_processor == 0


def placed(where: str) -> Any:
    return SimpleNamespace(device=torch.device(where))


def computing(module: Any, where: list[str], given: Any = ()) -> set[Any]:
    return computing_on(module, map(placed, where), given)


def test_where_parameters_wait_in_memory_the_inputs_say_it() -> None:
    plain = nn.Linear(2, 2)
    batch = {"input_ids": [placed("cuda:1")], "use_cache": False}
    assert computing(plain, ["cpu", "cpu"], ((), batch)) == {("cuda", 1)}
    assert computing(plain, [], ((placed("cuda:0"),), {})) == {("cuda", 0)}
    assert computing(plain, ["cpu"], ((placed("cpu"),), {})) == {("cpu", None)}
    assert computing(plain, [], ((1, "word"), {})) == set()
    # Inputs that are brought to where the parameters lie name nothing.
    assert computing(plain, ["cuda:2"], ((placed("cuda:0"),), {})) == {("cuda", 2)}


def test_wrappers_say_where_they_bring_what_they_keep_elsewhere() -> None:
    class FullyShardedDataParallel(nn.Linear):  # type: ignore[name-defined,misc]
        compute_device: Any

    class DataParallel(nn.Linear):  # type: ignore[name-defined,misc]
        device_ids: Any

    offloaded = FullyShardedDataParallel(2, 2)
    offloaded.compute_device = torch.device("cuda", 3)
    assert computing(nn.Sequential(offloaded), ["cpu"]) == {("cuda", 3)}
    copied = DataParallel(2, 2)
    copied.device_ids = [0, 1]
    assert computing(copied, ["cuda:0"]) == {("cuda", 0), ("cuda", 1)}
    hooked = nn.Linear(2, 2)
    hooked._hf_hook = SimpleNamespace(hooks=[SimpleNamespace(execution_device=1)])
    assert computing(hooked, ["meta"]) == {("cuda", 1)}
    hooked._hf_hook = SimpleNamespace(execution_device="cpu")
    assert computing(hooked, ["meta"]) == set()


def test_devices_without_a_uuid_are_told_apart_by_their_number(tmp_path: Path) -> None:
    for rank in range(2):
        ledger = StepLedger.create(tmp_path, rank=rank, local_rank=rank, world_size=2)
        for index in range(2):
            ledger.device("cuda", name=H100, index=index)
        ledger.seal("finished", 0)
    totals = read_totals(tmp_path)
    assert totals is not None
    assert len(totals.devices) == 4
