"""A log that was cut inside its last line: half a figure is another figure, and is not read."""

import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import codes, value


def iteration(step: int) -> str:
    """100 steps of 1 s and of 256 samples since the line before."""
    return (
        f" [2024-03-04 10:{step // 60:02d}:{step % 60:02d}] iteration {step:8d}/    1000 | consumed samples: "
        f"{step * 256:12d} | elapsed time per iteration (ms): 1000.0 | global batch size:   256 | lm loss: "
        f"{9 - step / 1000:.6E} | number of skipped iterations:   0 | number of nan iterations:   0 |\n"
    )


LINES = [iteration(step) for step in (100, 200, 300)]
WHOLE = "".join(LINES)
#: of the first two lines, and of all three
BEFORE, AFTER = (200, 51_200, 200.0), (300, 76_800, 300.0)


def amounts(found):
    return tuple(value(found, name) for name in ("steps", "samples", "timed_seconds"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(len(WHOLE) - len(LINES[-1]) + 2, len(WHOLE)))
def test_a_line_cut_anywhere_is_read_whole_or_not_at_all(written, cut):
    found = written({"a.log": WHOLE[:cut]})
    # Behind its last bar nothing but the line end is missing.
    assert amounts(found) == (AFTER if cut >= len(WHOLE) - 1 else BEFORE)
    assert ("torn-tail" in codes(found)) == (cut < len(WHOLE) - 1)


def test_half_a_counter_is_no_counter(written):
    cut = WHOLE[: WHOLE.rindex("76800") + 2]
    assert cut.endswith("consumed samples:        76")
    assert amounts(written({"a.log": cut})) == BEFORE
    assert amounts(written({"a.log.gz": gzip.compress(cut.encode())})) == BEFORE


def test_a_bar_that_rewrites_its_line_is_whole(written):
    bars = "\r".join(
        f"Epoch 0: {n}/9 [00:0{n}<00:09, v_num=0, reduced_train_loss=1.{n}, global_step={n - 1}.0, "
        f"train_step_timing in s=0.5{n}]"
        for n in range(1, 6)
    )
    found = written({"a.log": bars})
    assert value(found, "steps") == 5
    assert "torn-tail" not in codes(found)


@pytest.mark.parametrize(("last", "told"), [("8.25", True), ("8.25\n", False), ("8.25s", False)])
def test_a_file_that_ends_in_a_figure_says_so(written, last, told):
    lines = "".join(
        f"step {n} | loss 2.{n} | step time: {n}.25 s | lr {n}.25\n" for n in range(1, 8)
    )
    found = written({"a.log": f"{lines}step 8 | loss 2.8 | step time: 8.25 s | lr {last}"})
    assert value(found, "steps") == 8
    assert ("torn-tail" in codes(found)) == told
