"""Tensor parallelism and fully sharded data parallelism on a made-up process group of eight."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

import flopcount


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))


# 4 rows: up 2·4·64·256 = 131072, down as much
FORWARD = 2 * 131072
# weight gradients of both, input gradient of down only
BACKWARD = 3 * 131072


@pytest.fixture
def mesh():
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
    yield init_device_mesh("cpu", (8,), mesh_dim_names=("ranks",))
    dist.destroy_process_group()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tensor_parallel_ranks_sum_to_the_global_figure(mesh, device):
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    with torch.device(device):
        model = MLP()
    plan = {"up": ColwiseParallel(), "down": RowwiseParallel()}
    model = parallelize_module(model, mesh, plan)
    count = flopcount.count(model, torch.zeros(4, 64))
    assert (count.forward, count.backward) == (FORWARD, BACKWARD)
    rank = count.per_rank
    assert rank.world_size == 8
    assert (rank.forward, rank.backward) == (FORWARD // 8, BACKWARD // 8)
    assert rank.replicated == 0


def test_replicated_work_is_stated(mesh):
    from torch.distributed.tensor import Replicate, distribute_tensor

    a = distribute_tensor(torch.zeros(16, 32), mesh, [Replicate()])
    count = flopcount.count(lambda t: t @ t.T, a)
    # 2·16·32·16 = 16384 on every one of eight ranks
    assert count.forward == count.per_rank.forward == 16384
    assert count.per_rank.replicated == 7 * 16384


def test_fully_sharded_counts_as_the_plain_model_and_still_runs(mesh):
    from torch.distributed.fsdp import fully_shard

    model = MLP()
    fully_shard(model.up, mesh=mesh)
    fully_shard(model, mesh=mesh)
    count = flopcount.count(model, torch.zeros(4, 64))
    assert (count.forward, count.backward) == (FORWARD, BACKWARD)
    assert count.per_rank is None
    assert model(torch.zeros(4, 64)).shape == (4, 64)


def test_data_parallel_wrappers_are_looked_through(mesh):
    model = nn.parallel.DistributedDataParallel(MLP())
    assert flopcount.count(model, torch.zeros(4, 64)).forward == FORWARD


class Attention(nn.Module):
    """Attention that knows its width and not its heads, as tensor parallel models are written."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(64, 64) for _ in range(4))

    def forward(self, x):
        q, k, v = (
            layer(x).view(*x.shape[:2], -1, 8).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.o(seen.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_heads_that_left_their_sharded_tensors_count_on_every_rank(mesh, device):
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    with torch.device(device):
        model = nn.Sequential(Attention(), nn.Linear(64, 64))
    columns = {f"0.{name}": ColwiseParallel() for name in "qkv"}
    plan = {**columns, "0.o": RowwiseParallel()}
    model = parallelize_module(model, mesh, plan)
    count = flopcount.count(model, torch.zeros(2, 10, 64))
    # Five linears 2·20·64·64 = 163840; scores and values of all 8 heads 2·2·(2·8)·10·10·8 = 51200
    heads = 2 * 2 * (2 * 8) * 10 * 10 * 8
    assert count.forward == 5 * 163840 + heads
    # The input needs no gradient: q, k and v cost their weights only.
    assert count.backward == (2 * 5 - 3) * 163840 + 2 * heads
    rank = count.per_rank
    # The last linear is on every rank, on the same data.
    assert rank.forward == (4 * 163840 + heads) // 8 + 163840
    assert rank.replicated == 7 * 3 * 163840


def test_a_plain_layer_between_sharded_ones(mesh):
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    model = nn.Sequential(nn.Linear(64, 256), nn.Linear(32, 32), nn.Linear(256, 64))
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    model = parallelize_module(model, mesh, plan)
    count = flopcount.count(model, torch.zeros(4, 64))
    # Each of eight ranks has a plain 32 x 32 layer over its own 32 of 256 columns: 8·2·4·32·32.
    between = 8 * 2 * 4 * 32 * 32
    assert count.forward == FORWARD + between
    assert count.backward == BACKWARD + 2 * between
    assert count.per_rank.replicated == 0


@pytest.mark.parametrize("how", ["gathered", "added up"])
def test_what_a_collective_made_whole_counts_once_again(mesh, how):
    """Eight ranks that compute the same product of the same whole compute it once for the model."""
    import torch.distributed._functional_collectives as collectives
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)

        def forward(self, x):
            piece = self.up(x)  # 32 of 256 columns, a plain tensor
            if how == "gathered":
                return self.down(collectives.all_gather_tensor(piece, gather_dim=1, group=mesh))
            summand = piece @ torch.ones(32, 256)
            return self.down(collectives.all_reduce(summand, "sum", mesh))

    model = parallelize_module(Whole(), mesh, {"up": ColwiseParallel()})
    # The summands are 8 products of 4 x 32 by 32 x 256.
    summands = 0 if how == "gathered" else 8 * 2 * 4 * 32 * 256
    assert flopcount.count(model, torch.zeros(4, 64)).forward == FORWARD + summands


def test_sequence_parallel_ranks_sum_to_the_global_figure(mesh):
    """Norms on pieces of the sequence, gathered before and scattered after each pair of linears."""
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        SequenceParallel,
        parallelize_module,
    )

    model = nn.Sequential(nn.Embedding(16, 64), nn.LayerNorm(64), MLP(), nn.LayerNorm(64))
    plan = {
        "0": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
        "1": SequenceParallel(),
        "2.up": ColwiseParallel(input_layouts=Shard(1)),
        "2.down": RowwiseParallel(output_layouts=Shard(1)),
        "3": SequenceParallel(),
    }
    model = parallelize_module(model, mesh, plan)
    count = flopcount.count(model, torch.zeros(2, 8, dtype=torch.long))
    # 16 rows where MLP above has 4; its input comes from a trained table and needs a gradient.
    assert (count.forward, count.backward) == (4 * FORWARD, 8 * FORWARD)
    assert (count.per_rank.forward, count.per_rank.backward) == (FORWARD // 2, FORWARD)
    assert count.per_rank.replicated == 0


@pytest.fixture
def alone():
    """A real process group of one."""
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("how", ["in place", "exchanged", "functional"])
def test_what_other_ranks_say_is_not_known_without_them(alone, how):
    """How many rows come is what an all-to-all answers: memory that nothing filled tells nothing."""
    import torch.distributed._functional_collectives as collectives

    expert = nn.Linear(64, 64)

    def model(x):
        mine = torch.full((1,), 3, device=x.device)
        if how == "functional":
            theirs = collectives.all_reduce(mine, "sum", dist.group.WORLD)
        elif how == "in place":
            theirs = mine
            dist.all_reduce(theirs)
        else:
            theirs = torch.empty_like(mine)
            dist.all_to_all_single(theirs, mine)
        return expert(x[: int(theirs.sum())])

    count = flopcount.count(model, torch.zeros(8, 64))
    assert count.method == "cpu"
    assert (count.forward, count.backward) == (2 * 3 * 64 * 64, 2 * 3 * 64 * 64)
