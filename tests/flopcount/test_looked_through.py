"""Wrappers that gather parameters or reduce gradients are not asked to by a count, and left as they were."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch import nn  # noqa: E402

import flopcount  # noqa: E402
from flopcount.errors import CountError  # noqa: E402

WIDTH, ROWS = 8, 4
TRAIN = 5 * 2 * ROWS * WIDTH * WIDTH
"""Two layers of 8 x 8 on 4 rows: two forward, two gradients of weights, one of an input, 2·4·8·8 each."""


@pytest.fixture(autouse=True)
def group() -> Any:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield
    dist.destroy_process_group()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.last.weight = self.inner.weight

    def forward(self, x: Any) -> Any:
        return self.last(torch.relu(self.inner(x)))


def flat(model: Any, **settings: Any) -> Any:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(model, device_id=torch.device("cpu"), **settings)


def layers() -> Any:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


def nested(**settings: Any) -> Any:
    whole = layers()
    whole[2] = flat(whole[2], **settings)
    return whole


def mixed() -> dict[str, Any]:
    from torch.distributed.fsdp import MixedPrecision

    return {"mixed_precision": MixedPrecision(param_dtype=torch.bfloat16)}


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("make", [layers, Tied, "nested"])
def test_flat_pieces_are_whole_in_a_count(make: Any, kept: bool, trained: bool) -> None:
    inner = nested(use_orig_params=kept) if make == "nested" else make()
    model = flat(inner, use_orig_params=kept)
    x = torch.randn(ROWS, WIDTH)
    if trained:
        model(x).sum().backward()
    before = {name: (p.data_ptr(), p.shape, p.device) for name, p in model.named_parameters()}
    assert flopcount.count(model, x).total == TRAIN
    after = {name: (p.data_ptr(), p.shape, p.device) for name, p in model.named_parameters()}
    assert after == before
    model(x).sum().backward()  # and it goes on


def test_inputs_are_brought_to_the_parameters_dtype() -> None:
    model = flat(layers().to(torch.bfloat16), **mixed())
    assert flopcount.count(model, torch.randn(ROWS, WIDTH)).total == TRAIN


def test_a_reducer_hears_nothing_of_a_count() -> None:
    class Silent:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    inner = nn.parallel.DistributedDataParallel(nn.Linear(WIDTH, WIDTH))
    model = nn.Sequential(inner, nn.ReLU(), nn.DataParallel(nn.Linear(WIDTH, WIDTH)))
    reducer, inner.reducer = inner.reducer, Silent()
    inner.logger = Silent()
    assert flopcount.count(model, torch.randn(ROWS, WIDTH)).total == TRAIN
    inner.reducer = reducer


def test_flattened_pieces_of_a_mesh_are_refused() -> None:
    model = flat(layers())
    handle = model._handle
    handle.flat_param._param_extensions = (object(), *handle.flat_param._param_extensions[1:])
    with pytest.raises(CountError, match="tensor parallel mesh"):
        flopcount.count(model, torch.randn(ROWS, WIDTH))


@pytest.mark.parametrize(("apart", "bounds"), [(False, (3 * 512, 5 * 512)), (True, None)])
def test_what_frozen_weights_get_of_a_flat_gradient_is_bounded(apart: bool, bounds: Any) -> None:
    """The first layer is frozen: 3 products of 512 are needed; its weight's gradient leads to two more."""
    from flopcount.live.capture import capture
    from flopcount.live.counting import count_call

    model = layers()
    model[0].requires_grad_(False)
    model = flat(model, use_orig_params=True, ignored_modules=[model[0]] if apart else [])
    x = torch.randn(ROWS, WIDTH)
    found = count_call(capture(model, (x,), {}), [lambda out: [out]])
    assert found.forward + found.backward == 3 * 512
    assert found.bounds == bounds
