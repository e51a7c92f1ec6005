"""Products of known FLOP against the instruments, on the stand-in: there is no GPU here."""

import json
import sys
from pathlib import Path
from subprocess import run

import pytest

from tests.profilers.test_top_and_doctor import flopledger

ROOT = Path(__file__).parents[2]

#: 132 SMs x 4096 FLOP per cycle (bf16, dense) x 1500 MHz x 40 % tensor activity.
RATE = 132 * 4096 * 1500e6 * 0.40

#: A machine that stalls at the end of the window loses products: far less than the factor of a lie.
LATE = 0.3

PROGRAM = """
import json, sys, time
from flopledger.profiling.known_products import Product, check
from profilers.sources.nvml import NvmlSource

rate, precision = float(sys.argv[1]), sys.argv[2]
class Grid:
    # Products end on a grid of ten milliseconds: one that is late lets the next be early.

    end = None

    def start(self):
        self.end = (self.end or time.perf_counter()) + 0.01

    def wait(self):
        time.sleep(max(self.end - time.perf_counter(), 0))

grid = Grid()
source = NvmlSource()
source.open()
product = Product(precision=precision, flop=round(rate * 0.01), start=grid.start, wait=grid.wait)
print(json.dumps(check(source, source.devices()[0], product, 2.0)))
"""


@pytest.fixture
def checked(nvml):
    def multiply(rate, precision="bf16"):
        nvml("device model=h100\nset 0 tensor 40\nset 0 sm_clock 1500\nset 0 util 100")
        command = [sys.executable, "-c", PROGRAM, str(rate), precision]
        done = run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return multiply


def test_the_truth_is_what_the_instruments_allow(checked):
    told = checked(RATE)
    assert (told["units"], told["precision"]) == ("matrix", "bf16")
    assert told["tensor_activity"] == pytest.approx(0.40)
    # Bounds as narrow as the sensor's rounding.
    for end in told["bounds"].values():
        assert told["flop"] == pytest.approx(end, rel=LATE)


@pytest.mark.parametrize("lie", [3, 1 / 3])
def test_three_times_the_truth_is_outside(checked, lie):
    told = checked(RATE * lie)
    assert told["inside"] is False
    low, high = told["bounds"]["low"], told["bounds"]["high"]
    assert told["off"] == pytest.approx(told["flop"] / (high if lie > 1 else low))
    assert told["off"] == pytest.approx(lie, rel=LATE)


def test_a_precision_without_matrix_units_is_held_against_all_units(checked):
    # H100's vector units: 256 fp32 FLOP per cycle and SM, whatever the tensor pipe does besides.
    told = checked(132 * 256 * 1500e6 / 2, "fp32")
    assert (told["units"], told["inside"], told["off"]) == ("all", True, None)


def test_doctor_says_why_nothing_was_multiplied(nvml):
    nvml("device model=h100")
    done = flopledger("doctor", "--calibrate", "--seconds", "1", "--json")
    assert done.returncode == 0, done.stderr
    products = json.loads(done.stdout)["products"]
    assert (products["tried"], products["checks"]) == (False, [])
    assert "torch" in products["reason"]  # no CUDA device, or no torch at all
    shown = flopledger("doctor", "--calibrate", "--seconds", "1")
    assert "known matrix products: not tried (torch" in shown.stdout


def test_doctor_tells_products(capsys):
    from flopledger.commands.doctor import _product_lines

    inside = {"precision": "bf16", "flop": 4e15, "bounds": {"low": 3e15, "high": 5e15}}
    checks = [
        {**inside, "inside": True},
        {**inside, "precision": "fp16", "flop": 9e15, "inside": False, "off": 1.8},
        {"precision": "fp8", "inside": None, "reason": "RuntimeError: not on this part"},
    ]
    lines = _product_lines({"tried": True, "device": "NVIDIA H100", "checks": checks})
    assert lines == [
        "known matrix products on NVIDIA H100:",
        "  bf16: 4.0e15 FLOP done, 3.0e15 to 5.0e15 by the instruments: inside",
        "  fp16: 9.0e15 FLOP done, 3.0e15 to 5.0e15 by the instruments: 1.8 times off",
        "  fp8: not possible (RuntimeError: not on this part)",
    ]
