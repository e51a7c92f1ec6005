"""The second answer is the kind of tensor that torch itself would make, or torch's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flopcount.repeated_ops import RepeatedOps, makes_one

aten = torch.ops.aten
TYPES = [torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64]
SIZES = st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4)
CALLS = {
    aten.mul.Tensor: lambda a, b: ((a, b), {}),
    aten.add.Tensor: lambda a, b: ((a, b), {"alpha": 2}),
    aten.pow.Tensor_Scalar: lambda a, _: ((a, 2.5), {}),
    aten.div.Tensor: lambda a, _: ((a, 2), {}),
    aten.neg.default: lambda a, _: ((a,), {}),
    aten.sum.dim_IntList: lambda a, _: ((a, [0], True), {}),
    aten.mean.dim: lambda a, _: ((a, [-1]), {}),
    aten.cat.default: lambda a, b: (([a, b], 0), {}),
    aten.mm.default: lambda a, b: ((a, b), {}),
    aten._to_copy.default: lambda a, _: ((a,), {"dtype": torch.float16}),
    aten.clone.default: lambda a, _: ((a,), {"memory_format": torch.preserve_format}),
    aten._softmax.default: lambda a, _: ((a, -1, False), {}),
    aten.where.self: lambda a, b: ((a.bool(), a, b), {}),
    aten.tril.default: lambda a, _: ((a,), {}),
}


@st.composite
def operands(draw, shape):
    """A meta tensor of a shape, or one that spreads over it, laid out somehow."""
    kept = [draw(st.sampled_from([size, size, 1])) for size in shape][
        draw(st.integers(0, len(shape))) :
    ]
    dtype = draw(st.sampled_from(TYPES[:2] + TYPES))
    order = draw(st.sampled_from([range(len(kept)), draw(st.permutations(range(len(kept))))]))
    made = torch.empty([kept[i] for i in order], dtype=dtype, device="meta")
    back = [list(order).index(i) for i in range(len(kept))]
    made = made.permute(back)
    return torch.nn.Parameter(made) if made.is_floating_point() and draw(st.booleans()) else made


def told(run, func, args, kwargs):
    """What is answered, as far as it can be compared, or the kind of the error."""
    try:
        with torch.no_grad():
            out = run(func, args, kwargs)
    except (RuntimeError, TypeError, IndexError) as error:
        return type(error)
    return type(out), out.shape, out.stride(), out.dtype, out.device, out.requires_grad


def by_torch(func, args, kwargs):
    return func(*args, **kwargs)


def test_every_second_answer_is_torchs_own():
    repeated = RepeatedOps()  # one for all examples: no call may be taken for another

    @given(st.data(), SIZES, st.sampled_from(sorted(CALLS, key=str)))
    def examine(data, shape, func):
        args, kwargs = CALLS[func](data.draw(operands(shape)), data.draw(operands(shape)))
        theirs = told(by_torch, func, args, kwargs)
        assert told(repeated.run, func, args, kwargs) == theirs
        assert told(repeated.run, func, args, kwargs) == theirs

    examine()


@pytest.mark.parametrize("func", sorted(CALLS, key=str), ids=str)
def test_torch_is_asked_once(func):
    tensor = torch.empty(3, 3, device="meta")
    asked = []

    def counted(*args, **kwargs):
        asked.append(func)
        return func(*args, **kwargs)

    counted.namespace, counted._schema, counted.tags = func.namespace, func._schema, func.tags
    repeated = RepeatedOps()
    args, kwargs = CALLS[func](tensor, tensor)
    first, second = (repeated.run(counted, args, kwargs) for _ in range(2))
    assert len(asked) == 1
    assert first.untyped_storage()._cdata != second.untyped_storage()._cdata


def test_numbers_that_are_equal_are_not_the_same():
    repeated = RepeatedOps()
    whole = torch.empty(3, dtype=torch.int64, device="meta")
    kinds = [repeated.run(aten.mul.Tensor, (whole, one), {}).dtype for one in (1, 1.0, True)]
    assert kinds == [torch.int64, torch.float32, torch.int64]


def test_the_type_of_a_result_may_be_the_programs_own():
    repeated = RepeatedOps()
    whole = torch.empty(3, dtype=torch.int64, device="meta")
    assert repeated.run(aten.mul.Tensor, (whole, 0.5), {}).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert repeated.run(aten.mul.Tensor, (whole, 0.5), {}).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_zeros_that_are_not_there_stay_so():
    """Forward-mode derivatives know by their kind that there is no tangent."""
    repeated = RepeatedOps()
    for _ in range(2):
        none = repeated.run(aten._efficientzerotensor.default, ([3],), {"device": "meta"})
        assert none._is_zerotensor()


@pytest.mark.parametrize(
    "func",
    [
        aten.view.default,  # shares memory
        aten.mul_.Tensor,  # writes
        aten.nonzero.default,  # its size is data
        aten.topk.default,  # several results
        aten._local_scalar_dense.default,  # no tensor
    ],
    ids=str,
)
def test_what_torch_has_to_say(func):
    assert not makes_one(func)


def test_real_numbers_are_computed_each_time():
    repeated = RepeatedOps()
    for value in (2.0, 3.0):
        args = (torch.full((2,), value), 2)
        assert repeated.run(aten.mul.Tensor, args, {}).tolist() == [2 * value] * 2
