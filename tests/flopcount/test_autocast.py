"""Autocast: products are counted in the type in which the device would compute them."""

import pytest
import torch
from torch import nn

import flopcount
from flopcount import autocasting

X = torch.ones(3, 4)
FORWARD = 2 * 3 * 4 * 5
BACKWARD = FORWARD  # the weight's gradient; the input needs none


class Inside(nn.Module):
    """Switches autocast itself, for a device or for that of its input."""

    def __init__(self, device, **options):
        super().__init__()
        self.inner, self.device, self.options = nn.Linear(4, 5), device, options

    def forward(self, x):
        with torch.autocast(self.device or x.device.type, **self.options):
            return self.inner(x)


def by_dtype(count):
    return {name: total for name, total in count.by_dtype.items() if total}


@pytest.mark.parametrize(
    ("device", "options", "found"),
    [
        ("cuda", {"dtype": torch.bfloat16}, "bf16"),
        ("cuda", {}, "fp16"),  # CUDA's own default
        ("cpu", {"dtype": torch.bfloat16}, "bf16"),
        (None, {"dtype": torch.bfloat16}, "bf16"),
        (None, {"enabled": False}, "fp32"),
        (None, {"dtype": torch.float32}, "fp32"),
        ("cuda", {"enabled": False}, "fp32"),
    ],
)
@pytest.mark.parametrize("place", ["cpu", "meta"])
@pytest.mark.filterwarnings("ignore:.*autocast")
def test_a_forward_that_switches_it_on(device, options, found, place):
    with torch.device(place):
        model = Inside(device, **options)
    count = flopcount.count(model, X.to(place))
    assert (count.forward, count.backward) == (FORWARD, BACKWARD)
    assert by_dtype(count) == {found: FORWARD + BACKWARD}
    assert count.method == ("meta" if found == "fp32" else "fake")


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("place", ["cpu", "meta"])
@pytest.mark.filterwarnings("ignore:.*autocast")
def test_around_the_count(device, place):
    # As on a machine that has the device: there, torch.autocast("cuda") is open while we count.
    with torch.device(place):
        model = nn.Linear(4, 5)
    usual = torch.get_autocast_dtype(device)
    torch.set_autocast_enabled(device, True)
    torch.set_autocast_dtype(device, torch.bfloat16)
    try:
        count = flopcount.count(model, X.to(place))
        assert torch.is_autocast_enabled(device)
    finally:
        torch.set_autocast_enabled(device, False)
        torch.set_autocast_dtype(device, usual)
    assert by_dtype(count) == {"bf16": FORWARD + BACKWARD}
    assert by_dtype(flopcount.count(model, X.to(place))) == {"fp32": FORWARD + BACKWARD}


def test_torch_is_left_as_it_was():
    before = autocasting.autocast.__init__
    flopcount.count(Inside("cuda", dtype=torch.bfloat16), X)
    assert autocasting.autocast.__init__ is before
