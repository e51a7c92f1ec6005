"""What each rank of the tests runs: under torchrun, or as a fork of a process that has torch imported.

No pytest here: it must start fast.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

import flopledger

WIDTH, ROWS = 16, 8


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Any) -> Any:
        return x + self.down(torch.relu(self.up(x)))


class Model(nn.Module):
    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(depth)])
        self.last = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x)


def mesh(*sizes: int, names: tuple[str, ...]) -> Any:
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh("cpu", sizes, mesh_dim_names=names)


def steps(
    model: Any, rows: int = ROWS, number: int = 3, optimizer: Any = None, saved: bool = False
) -> list[float]:
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(number):
        loss = model(torch.randn(rows, WIDTH)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        if saved:
            from torch.distributed.checkpoint.state_dict import get_state_dict

            get_state_dict(model, optimizer)
    return losses


def ddp() -> list[float]:
    """Data parallel, with two batches to a step."""
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(Model())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        with model.no_sync():
            model(torch.randn(ROWS, WIDTH)).square().mean().backward()
        loss = model(torch.randn(ROWS, WIDTH)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def uneven() -> list[float]:
    """The first rank has more batches than the others."""
    from torch.distributed.algorithms.join import Join
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(Model())
    with Join([model]):
        return steps(model, number=4 if dist.get_rank() == 0 else 2)


def uneven_shards() -> list[float]:
    """The same, and each rank keeps the optimizer's state of a part of the parameters for all of them."""
    from torch.distributed.algorithms.join import Join
    from torch.distributed.optim import ZeroRedundancyOptimizer
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(Model())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.01)
    with Join([model, optimizer]):
        return steps(model, number=4 if dist.get_rank() == 0 else 2, optimizer=optimizer)


class Exact:
    """Each rank trains a copy of its part of all weights, in full precision, and hands it on."""

    def __init__(self, model: Any) -> None:
        self.weights = list(model.parameters())
        whole = torch.nn.utils.parameters_to_vector(self.weights).detach().float()
        self.copy = whole.chunk(dist.get_world_size())[dist.get_rank()].clone().requires_grad_()
        self.inner = torch.optim.SGD([self.copy], lr=0.01)

    def exchange(self) -> None:
        own, number = self.copy.numel(), dist.get_world_size()
        gradient = torch.cat([each.grad.flatten().float() for each in self.weights])
        self.copy.grad = torch.empty(own)
        dist.reduce_scatter_tensor(self.copy.grad, gradient)
        self.inner.step()
        whole = torch.empty(own * number)
        dist.all_gather_into_tensor(whole, self.copy.detach())
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(whole, self.weights)
        for each in self.weights:
            each.grad = None


def copies() -> list[float]:
    """What the optimizer trains is no module's; each step is followed by an evaluation."""
    torch.manual_seed(1)
    model = Model()
    optimizer = Exact(model)
    losses = []
    for _ in range(3):
        loss = model(torch.randn(ROWS, WIDTH)).square().mean()
        loss.backward()
        optimizer.exchange()
        losses.append(float(loss.detach()))
        model.eval()
        with torch.no_grad():
            model(torch.randn(ROWS, WIDTH))
        model.train()
    return losses


def fsdp(saved: bool = False) -> list[float]:
    """Fully sharded, computing in bfloat16; perhaps with a checkpoint after each step."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    model = Model()
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
    whole = mesh(dist.get_world_size(), names=("dp",))
    for block in model.blocks:
        fully_shard(block, mesh=whole, mp_policy=policy)
    fully_shard(model, mesh=whole, mp_policy=policy)
    return steps(model, saved=saved)


def flat(kept: bool) -> list[float]:
    """Fully sharded in flat parameters, in bfloat16, the blocks computed again in the backward."""
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
    from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    model = Model()
    model.blocks = nn.ModuleList(checkpoint_wrapper(block) for block in model.blocks)
    model = FullyShardedDataParallel(
        model,
        auto_wrap_policy=ModuleWrapPolicy({Block}),
        mixed_precision=MixedPrecision(param_dtype=torch.bfloat16),
        use_orig_params=kept,
        device_id=torch.device("cpu"),
    )
    return steps(model)


def tensor_parallel(model: Any, over: Any) -> Any:
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    for block in model.blocks:
        parallelize_module(block, over, {"up": ColwiseParallel(), "down": RowwiseParallel()})
    return model


def tp() -> list[float]:
    """The same batch on all ranks, the blocks' matrices cut in pieces."""
    torch.manual_seed(1)
    return steps(tensor_parallel(Model(), mesh(dist.get_world_size(), names=("tp",))))


def two_dimensions() -> list[float]:
    """Fully sharded over two, tensor parallel over two."""
    from torch.distributed.fsdp import fully_shard

    both = mesh(2, 2, names=("dp", "tp"))
    torch.manual_seed(1 + both["dp"].get_local_rank())
    model = tensor_parallel(Model(), both["tp"])
    for block in model.blocks:
        fully_shard(block, mesh=both["dp"])
    fully_shard(model, mesh=both["dp"])
    return steps(model)


def whole_parts(number: int) -> list[float]:
    """Parts that tensor parallelism leaves whole, called by themselves, and one with batches of its own."""
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    both = mesh(dist.get_world_size() // 2, 2, names=("dp", "tp"))
    torch.manual_seed(1 + both["dp"].get_local_rank())
    model, head = tensor_parallel(Model(), both["tp"]), nn.Linear(WIDTH, WIDTH)
    tower, scores = (
        DistributedDataParallel(nn.Linear(WIDTH, WIDTH)),
        nn.Parameter(torch.ones(WIDTH, 2)),
    )
    if both["dp"].size() > 1:
        for part in (*model.blocks, model, head):
            fully_shard(part, mesh=both["dp"])
    parameters = [*model.parameters(), *head.parameters(), *tower.parameters(), scores]
    optimizer = torch.optim.SGD(parameters, lr=0.01, foreach=False)
    losses = []
    for _ in range(number):
        loss = (head(model(torch.randn(ROWS, WIDTH))) @ scores).square().mean()
        loss = loss + tower(torch.randn(ROWS, WIDTH)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


class Gathered(torch.autograd.Function):
    """A product of rows that lie on all ranks; the gradient of its weight is added to a sum at once."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight)
        return gather(x) @ weight.t()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        out = torch.empty_like(x)
        dist.reduce_scatter_tensor(out, gradient @ weight)
        weight.main_grad.add_(gradient.t() @ gather(x))
        return out, None


def gather(x: Any) -> Any:
    whole = x.new_empty(dist.get_world_size() * len(x), x.shape[1])
    dist.all_gather_into_tensor(whole, x.contiguous())
    return whole


class Scattered(torch.autograd.Function):
    """Each rank's rows of a sum over all ranks."""

    @staticmethod
    def forward(_ctx: Any, x: Any) -> Any:
        out = x.new_empty(len(x) // dist.get_world_size(), x.shape[1])
        dist.reduce_scatter_tensor(out, x.contiguous())
        return out

    @staticmethod
    def backward(_ctx: Any, *gradients: Any) -> Any:
        return gather(gradients[0])


class Summed(nn.Module):
    """A block whose matrices lie in pieces on the ranks, between two layers of which each has its rows."""

    def __init__(self) -> None:
        super().__init__()
        part = 4 * WIDTH // dist.get_world_size()
        self.first, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, part), nn.Linear(part, WIDTH, bias=False)
        for each in self.parameters():
            each.main_grad = torch.zeros_like(each)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        x = x + Scattered.apply(self.down(torch.relu(Gathered.apply(x, self.up.weight))))
        return self.last(x)


class Experts(nn.Module):
    """An expert on each rank, to which every rank sends an equal part of its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.expert, self.last = (
            nn.Linear(WIDTH, WIDTH),
            Block(),
            nn.Linear(WIDTH, WIDTH),
        )

    def forward(self, x: Any) -> Any:
        from torch.distributed.nn.functional import all_to_all_single

        x = self.first(x)
        there = self.expert(all_to_all_single(torch.empty_like(x), x))
        return self.last(x + all_to_all_single(torch.empty_like(there), there))


class Routed(nn.Module):
    """An expert on each rank, to which every rank sends the rows that choose it."""

    def __init__(self, alike: bool, gathered: bool = False, made: Any = None) -> None:
        super().__init__()
        self.gathered, self.made = gathered, made
        self.first, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.gate = nn.Linear(WIDTH, dist.get_world_size(), bias=False)
        self.expert = Block() if alike or dist.get_rank() else nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Any) -> Any:
        from torch.distributed._functional_collectives import (
            all_to_all_single,
            all_to_all_single_autograd,
        )

        x = self.first(x)
        weight, chosen = self.gate(x).softmax(-1).max(-1)
        order = chosen.argsort(stable=True)
        sent = torch.bincount(chosen, minlength=dist.get_world_size())
        if self.gathered:  # each rank learns how many rows go from each to each
            number = len(sent) ** 2
            every = self.made(number) if self.made else sent.new_empty(number)
            dist.all_gather_into_tensor(every, sent)
            come = every.view(len(sent), -1)[:, dist.get_rank()].tolist()
        else:
            come = all_to_all_single(sent, None, None, dist.group.WORLD).tolist()
        here = all_to_all_single_autograd(x[order], come, sent.tolist(), dist.group.WORLD)
        there = self.expert(here)
        back = all_to_all_single_autograd(there, sent.tolist(), come, dist.group.WORLD)
        return self.last(x + torch.zeros_like(x).index_copy(0, order, back) * weight[:, None])


class Ragged(nn.Module):
    """Attention over texts of unlike lengths; perhaps scaled by a number that the ranks agree on."""

    def __init__(self, talks: bool) -> None:
        super().__init__()
        self.talks = talks
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Any) -> Any:
        if self.talks:
            number = torch.ones(1)
            dist.all_reduce(number)
            x = x / float(number)
        q, k, v = (
            layer(x).unflatten(-1, (2, 8)).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.o(seen.transpose(1, 2).flatten(-2))


def ragged(talks: bool) -> list[float]:
    """Fully sharded, and each rank has lengths of its own."""
    from torch.distributed.fsdp import fully_shard

    model = Ragged(talks)
    fully_shard(model, mesh=mesh(dist.get_world_size(), names=("dp",)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, foreach=False)
    losses = []
    for number in range(3):
        texts = [torch.randn(n, WIDTH) for n in (3, 5, 2 + dist.get_rank() + number)]
        loss = (
            model(torch.nested.nested_tensor(texts, layout=torch.jagged)).values().square().mean()
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def zeros(number: int) -> Any:
    """In the processor's memory, wherever the model computes."""
    return torch.zeros(number, dtype=torch.long)


class Again(nn.Module):
    """A model in a checkpoint."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=False)


def pipeline(kind: str, per_rank: int = 1, depth: int = 4, again: bool = False) -> list[float]:
    """Four microbatches to a step; a ``V`` schedule gives the first rank the last stage, too."""
    from torch.distributed import pipelining
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
    from torch.distributed.pipelining import schedules

    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    whole = Model(depth=depth)
    count = world * per_rank
    mine = [rank + world * number for number in range(per_rank)]
    if kind == "ScheduleZBVZeroBubble":
        mine = [rank, count - 1 - rank]

    def stage(index: int) -> Any:
        per = depth // count
        layers = [*([whole.first] if index == 0 else []), *whole.blocks[index * per :][:per]]
        layers += [whole.last] if index == count - 1 else []
        if again:
            layers = list(map(checkpoint_wrapper, layers))
        return pipelining.PipelineStage(nn.Sequential(*layers), index, count, torch.device("cpu"))

    def loss_of(out: Any, target: Any) -> Any:
        return (out - target).square().mean()

    stages = [stage(index) for index in mine]
    schedule = getattr(schedules, kind)(
        stages if per_rank > 1 else stages[0], n_microbatches=4, loss_fn=loss_of
    )
    parameters = [p for stage in stages for p in stage.submod.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01)
    losses: list[float] = []
    for _ in range(3):
        x = torch.randn(ROWS, WIDTH)
        found: list[Any] = []
        last = {"target": torch.zeros(ROWS, WIDTH), "losses": found} if count - 1 in mine else {}
        schedule.step(*([x] if 0 in mine else []), **last)
        optimizer.step()
        optimizer.zero_grad()
        losses += [float(loss.detach()) for loss in found]
    return losses


def dies() -> list[float]:
    """The last rank is killed after its steps were written."""
    import time

    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(Model())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for number in range(100):
        model(torch.randn(ROWS, WIDTH)).sum().backward()
        optimizer.step()
        time.sleep(0.4)
        if number == 7 and dist.get_rank() == dist.get_world_size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return []


KINDS = {
    "ddp": ddp,
    "uneven": uneven,
    "uneven-shards": uneven_shards,
    "copies": copies,
    "fsdp-saved": lambda: fsdp(saved=True),
    "summed": lambda: steps(Summed()),
    "fsdp": fsdp,
    "flat": lambda: flat(kept=False),
    "flat-kept": lambda: flat(kept=True),
    "tp": tp,
    "fsdp+tp": two_dimensions,
    "whole-parts": lambda: whole_parts(3),
    "gpipe": lambda: pipeline("ScheduleGPipe"),
    "1f1b": lambda: pipeline("Schedule1F1B"),
    "interleaved": lambda: pipeline("ScheduleInterleaved1F1B", 2, 8),
    "zero-bubble": lambda: pipeline("ScheduleInterleavedZeroBubble", 2, 8),
    "zbv": lambda: pipeline("ScheduleZBVZeroBubble", 2, 8),
    "zero-bubble-again": lambda: pipeline("ScheduleInterleavedZeroBubble", 2, 8, again=True),
    "experts": lambda: steps(Experts()),
    "routed": lambda: steps(Routed(alike=True)),
    "routed-gathered": lambda: steps(Routed(alike=True, gathered=True)),
    "routed-made": lambda: steps(Routed(alike=True, gathered=True, made=zeros)),
    "routed-again": lambda: steps(Again(Routed(alike=True))),
    "ragged": lambda: ragged(talks=False),
    "ragged-talks": lambda: ragged(talks=True),
    "routed-unlike": lambda: steps(Routed(alike=False)),
    "dies": dies,
}


def collectives() -> dict[str, int]:
    """Count what goes through the process group from now on."""
    from torch.utils._python_dispatch import TorchDispatchMode

    counts: dict[str, int] = {}

    class Count(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func.namespace in ("c10d", "_c10d_functional"):
                counts[func.__name__] = counts.get(func.__name__, 0) + 1
            return func(*args, **(kwargs or {}))

    Count().__enter__()
    return counts


def work(kinds: list[str], folder: Path, how: str, *options: str) -> None:
    """Be one rank: the environment says which."""
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    counts = collectives() if "count" in options else {}
    for kind in kinds:
        torch.manual_seed(100 + dist.get_rank())
        counts.clear()
        if how == "record":
            sources = [{"name": "cpu_counters"}] if "sample" in options else None
            with flopledger.record(folder / kind, sampler=sources is not None, sources=sources):
                losses = KINDS[kind]()
        else:
            losses = KINDS[kind]()
        told = {"losses": losses, "collectives": counts}
        name = f"{kind}-{how}-{dist.get_rank()}.json"
        (folder / name).write_text(json.dumps(told), encoding="utf-8")
    dist.destroy_process_group()


SLOW = (
    "torch._dynamo", "torch.distributed.algorithms.join", "torch.distributed.checkpoint.state_dict",
    "torch.distributed.fsdp", "torch.distributed.nn.functional", "torch.distributed.optim",
    "torch.distributed.pipelining.schedules", "torch.distributed.tensor.parallel",
)  # fmt: skip
"""What the kinds import: two thirds of a rank's time, so it is done once, before the forks."""


def forks(ranks: int, kinds: str, *given: str) -> None:
    """Run the ranks of one process group, and wait for all of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(ranks):
        if not os.fork():
            os.environ.update(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks),
                LOCAL_WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
            )  # fmt: skip
            folder, *options = given
            work(kinds.split(","), Path(folder), *options)
            sys.exit()
    ended = [os.wait()[1] for _ in range(ranks)]
    if any(ended):
        raise SystemExit("a rank failed")


def main() -> None:
    if "RANK" in os.environ:
        kinds, folder, *options = sys.argv[1:]
        work(kinds.split(","), Path(folder), *options)
        return
    for name in SLOW:
        importlib.import_module(name)
    for ranks, *words in json.loads(sys.argv[1]):
        forks(ranks, *words)


if __name__ == "__main__":
    main()
