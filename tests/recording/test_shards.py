"""A tensor parallel attention, recorded as rank 0 of a made-up group of eight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

import flopledger  # noqa: E402
from profilers.steps.record.ledger import read_steps  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

nn = torch.nn


class Attention(nn.Module):  # type: ignore[name-defined,misc]
    """Knows the width of a head and not how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(64, 64) for _ in range(4))

    def forward(self, x: Any) -> Any:
        q, k, v = (
            layer(x).view(*x.shape[:2], -1, 8).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.o(seen.transpose(1, 2).flatten(2))


@pytest.fixture
def mesh() -> Any:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
    yield init_device_mesh("cpu", (8,), mesh_dim_names=("tp",))
    dist.destroy_process_group()


def test_a_rank_has_its_eighth_of_the_attention(mesh: Any, tmp_path: Path) -> None:
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    model = nn.Sequential(nn.Linear(64, 64), Attention())
    columns = {f"1.{name}": ColwiseParallel() for name in "qkv"}
    parallelize_module(model, mesh, {**columns, "1.o": RowwiseParallel()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, foreach=False)
    with flopledger.record(tmp_path, sampler=False):
        for _ in range(3):
            model(torch.randn(2, 10, 64)).sum().backward()
            optimizer.step()
    (process,) = read_steps(tmp_path)
    assert len(list(process.steps())) == 3
    (cost,) = process.costs.values()
    # Five linears 2·20·64·64, heads 2·2·(2·8)·10·10·8; the first layer's input needs no gradient.
    linear, heads = 2 * 20 * 64 * 64, 2 * 2 * (2 * 8) * 10 * 10 * 8
    assert cost.model_flop is not None
    assert 8 * cost.model_flop == (3 * 5 - 1) * linear + 3 * heads
    assert (cost.bounds, cost.share) == (None, (1, 8))


@pytest.mark.parametrize("made", [torch.zeros, torch.empty])
def test_what_other_ranks_send_is_not_known(mesh: Any, tmp_path: Path, made: Any) -> None:
    """As many rows as others send to this rank's expert: no figure, and none of stale memory."""
    import torch.distributed as dist

    class Experts(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.expert = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            counts = made(8, dtype=torch.long)
            dist.all_to_all_single(counts, torch.ones(8, dtype=torch.long))
            rows = sum(n for n in counts.tolist() if 0 <= n < 100)
            return x.sum() + self.expert(x.new_zeros(rows, 16)).sum()

    model = Experts()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with flopledger.record(tmp_path, sampler=False):
        for _ in range(3):
            model(torch.randn(4, 16)).backward()
            optimizer.step()
    (process,) = read_steps(tmp_path)
    costs = [process.costs[cost] for step in process.steps() for cost, _ in step.calls]
    assert costs
    for cost in costs:
        assert cost.bounds is not None
        assert cost.bounds[1] is None
        assert cost.model_flop is None or cost.model_flop < 10**6


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_rank_has_its_eighth_of_the_loop_s_own_products(
    mesh: Any, tmp_path: Path, checkpointed: bool
) -> None:
    """A head that the loop multiplies by itself: in the graph its sizes are the whole's."""
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

    def logits(x: Any) -> Any:
        return DTensor.from_local(x, mesh, [Replicate()], run_check=False) @ head

    model = nn.Linear(16, 16)
    head = nn.Parameter(distribute_tensor(torch.randn(16, 64), mesh, [Shard(1)]))
    optimizer = torch.optim.SGD([*model.parameters(), head], lr=0.01, foreach=False)
    with flopledger.record(tmp_path, sampler=False):
        for _ in range(3):
            x = model(torch.randn(4, 16))
            if checkpointed:
                y = torch.utils.checkpoint.checkpoint(logits, x, use_reentrant=False)
            else:
                y = logits(x)
            out = y.to_local().square().sum() + (x @ x.t()).sum()
            out.backward()
            optimizer.step()
    (process,) = read_steps(tmp_path)
    step = list(process.steps())[-1]
    costs = [process.costs[cost] for cost, _ in step.calls]
    own = {cost.share: cost.model_flop for cost in costs if cost.how == "graph"}
    # The head 2·4·16·64 and both its gradients, an eighth; the rows with themselves 2·4·16·4, likewise.
    assert own == {(1, 8): 3 * 2 * 4 * 16 * 64 // 8, (1, 1): 3 * 2 * 4 * 16 * 4}
    assert any(cost.bounds is not None for cost in costs) is checkpointed


def test_a_backward_that_begins_inside_of_spread_weights(mesh: Any, tmp_path: Path) -> None:
    """Two halves, as of a zero-bubble pipeline: first for the inputs, then for the weights."""
    from torch.distributed.pipelining._backward import stage_backward_input, stage_backward_weight
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 16))
    parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, foreach=False)
    with flopledger.record(tmp_path, sampler=False):
        for _ in range(3):
            x = torch.randn(4, 16, requires_grad=True)
            out = model(x).square().sum()
            _, groups = stage_backward_input([out], None, [x], model.parameters())
            stage_backward_weight(model.parameters(), groups)
            optimizer.step()
            optimizer.zero_grad()
    (process,) = read_steps(tmp_path)
    for step in process.steps():
        calls = [(process.costs[cost], times) for cost, times in step.calls]
        assert {(cost.share, cost.bounds) for cost, _ in calls} == {((1, 8), None)}
        # Forward, for the inputs and for the weights: each 2·4·16·64 of two layers, an eighth on each rank.
        each = 2 * 4 * 16 * 64
        assert sum((cost.model_flop or 0) * times for cost, times in calls) == 3 * 2 * each // 8
    assert process.notes == ()


class Encoder(nn.Module):  # type: ignore[name-defined,misc]
    """Has a method beside its forward, which calls its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 16))
        self.head = nn.Linear(16, 4)

    def encode(self, x: Any) -> Any:
        return self.head(self.body(x))


@pytest.mark.parametrize("spread", [False, True])
def test_parts_that_are_called_by_themselves_are_whole_then(
    mesh: Any, tmp_path: Path, spread: bool
) -> None:
    """What ``fully_shard`` stores in pieces was gathered by the module around, which is not called."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    model = Encoder()
    if spread:
        both = init_device_mesh("cpu", (2, 4), mesh_dim_names=("dp", "tp"))
        parallelize_module(model.body, both["tp"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
        mesh = both["dp"]
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "encode")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, foreach=False)
    with flopledger.record(tmp_path, sampler=False):
        for _ in range(3):
            model.encode(torch.randn(8, 16)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    (process,) = read_steps(tmp_path)
    found = {cost.model: (cost.model_flop, cost.bounds) for cost in process.costs.values()}
    # Two layers of 2·8·16·64, the first without a gradient of its input, and one of 2·8·16·4.
    body, head = 5 * (2 * 8 * 16 * 64), 3 * (2 * 8 * 16 * 4)
    if not spread:
        assert found == {"Sequential": (body, None), "Linear": (head, None)}
        assert process.notes == ()
        return
    # Four ranks share a batch; if each had rows of its own, the head would be done four times.
    assert found == {"Sequential": (body // 4, None), "Linear": (head // 4, (head, 4 * head))}
    assert {cost.share for cost in process.costs.values()} == {(1, 4)}
    assert [note.code for note in process.notes] == ["cost-bounded"]


def test_a_rank_has_its_eighth_of_what_the_program_has_counted(mesh: Any, tmp_path: Path) -> None:
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

    model, head = nn.Linear(16, 16), distribute_tensor(torch.randn(16, 64), mesh, [Shard(1)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def scores(x: Any) -> Any:
        return DTensor.from_local(x, mesh, [Replicate()], run_check=False) @ head

    with flopledger.record(tmp_path, sampler=False) as run:
        x = model(torch.randn(4, 16))
        x.sum().backward()
        run.count(scores, x.detach(), backward=False)
        optimizer.step()
    (process,) = read_steps(tmp_path)
    (found,) = [cost for cost in process.costs.values() if "scores" in cost.model]
    assert (found.share, found.model_flop) == ((1, 8), 2 * 4 * 16 * 64 // 8)
