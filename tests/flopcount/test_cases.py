"""Every case of the benchmark's list, to the FLOP; and the same on real CPU tensors."""

import pytest

import flopcount
from benchmarks.counts.derived import CASES
from flopcount.doubles import CpuDoubles
from flopcount.known_values import KnownValues
from flopcount.summary import summarise
from flopcount.trace import Step, trace

BY_NAME = {case.name: case for case in CASES}


def test_there_are_enough_cases_and_each_has_its_own_name():
    assert len(CASES) >= 60
    assert len(BY_NAME) == len(CASES)


@pytest.mark.parametrize("name", BY_NAME)
def test_exact(name):
    case = BY_NAME[name]
    model, args = case.make()
    count = flopcount.count(model, *args, **case.options)
    assert (count.forward, count.backward) == (case.forward, case.backward)
    assert count.recompute == case.recompute
    assert count.uncounted == ()


# Kernels that only real tensors reach must agree with what meta decomposes them into.
@pytest.mark.parametrize("name", sorted(set(BY_NAME) - {"grouped product"}))
def test_the_same_on_real_tensors(name):
    case = BY_NAME[name]
    model, args = case.make()
    step = Step(
        model=model,
        args=args,
        kwargs={},
        backward=case.options.get("backward", True),
        loss=None,
    )
    count = summarise(trace(step, CpuDoubles(KnownValues())), method="cpu")
    assert (count.forward, count.backward) == (case.forward, case.backward)
    assert count.recompute == case.recompute
