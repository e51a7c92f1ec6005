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
