"""Shapes of elementwise results on meta are what torch itself would answer, or not answered."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flopcount.elementwise import BINARY, SCALED, SHORT, UNARY, result_on_meta

TYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64, torch.bool]
SIZES = st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4)


@st.composite
def operands(draw, shape):
    """A meta tensor of a shape, or one that spreads over it, laid out somehow."""
    kept = [draw(st.sampled_from([size, size, 1])) for size in shape][
        draw(st.integers(0, len(shape))) :
    ]
    dtype = draw(st.sampled_from(TYPES[:3] + TYPES))
    order = draw(st.sampled_from([range(len(kept)), draw(st.permutations(range(len(kept))))]))
    made = torch.empty([kept[i] for i in order], dtype=dtype, device="meta")
    back = [list(order).index(i) for i in range(len(kept))]
    made = made.permute(back)
    return torch.nn.Parameter(made) if made.is_floating_point() and draw(st.booleans()) else made


def told(func, *args):
    """What torch answers, or the kind of its error."""
    try:
        with torch.no_grad():
            return func(*args)
    except (RuntimeError, TypeError) as error:
        return type(error)


def same(short, func, *args):
    theirs = told(func, *args)
    assert isinstance(theirs, torch.Tensor), f"{func} was answered and raises {theirs}"
    assert (short.shape, short.stride(), short.dtype) == (
        theirs.shape,
        theirs.stride(),
        theirs.dtype,
    )
    assert short.device == theirs.device
    assert not short.requires_grad


@given(st.data(), SIZES, st.sampled_from(sorted(BINARY, key=str)))
def test_two_operands(data, shape, func):
    first, second = data.draw(operands(shape)), data.draw(operands(shape))
    short = result_on_meta(func, (first, second), {})
    if short is not None:
        same(short, func, first, second)


@given(st.data(), SIZES, st.sampled_from(sorted(BINARY | SCALED, key=str)))
def test_an_operand_and_a_number(data, shape, func):
    first = data.draw(operands(shape))
    number = data.draw(st.sampled_from([2, 0.5, True, 2j, -1]))
    short = result_on_meta(func, (first, number), {})
    if short is not None:
        same(short, func, first, number)


@given(st.data(), SIZES, st.sampled_from(sorted(UNARY, key=str)))
def test_one_operand(data, shape, func):
    first = data.draw(operands(shape))
    short = result_on_meta(func, (first,), {})
    if short is not None:
        same(short, func, first)


@pytest.mark.parametrize("func", sorted(SHORT, key=str), ids=str)
def test_what_most_steps_ask_is_answered(func):
    whole = torch.empty(2, 3, 4, dtype=torch.bfloat16, device="meta")
    row = torch.empty(4, dtype=torch.bfloat16, device="meta")
    given = (whole,) if func in UNARY else (whole, row) if func in BINARY else (whole, 2)
    assert result_on_meta(func, given, {}) is not None


def test_what_torch_has_to_say():
    whole = torch.empty(2, 3, device="meta")
    mul = torch.ops.aten.mul.Tensor
    assert result_on_meta(mul, (whole, whole.double()), {}) is None
    assert result_on_meta(mul, (whole, whole.t()), {}) is None
    assert result_on_meta(mul, (whole, torch.empty(4, device="meta")), {}) is None
    assert result_on_meta(mul, (whole, torch.empty(2, 3)), {}) is None
    assert result_on_meta(torch.ops.aten.add.Tensor, (whole, whole), {"alpha": 2}) is None
    assert result_on_meta(torch.ops.aten.mul_.Tensor, (whole, whole), {}) is None
