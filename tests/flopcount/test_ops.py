"""Unknown ops, users' formulas, kernels, higher-order ops, flex attention, dtypes."""

import pytest
import torch
from torch import nn

import flopcount
from flopcount.registry import unregister


@pytest.fixture
def stray():
    """A custom op that nobody has a formula for."""
    with torch.library._scoped_library("flopcount_test", "FRAGMENT"):

        @torch.library.custom_op("flopcount_test::outer", mutates_args=())
        def outer(x: torch.Tensor) -> torch.Tensor:
            return x @ x.T

        @outer.register_fake
        def _(x):
            return x.new_empty(x.shape[0], x.shape[0])

        yield outer
        unregister("flopcount_test::outer")


def test_an_unknown_op_is_named_with_its_shapes_and_the_count_has_bounds(stray):
    layer = nn.Linear(5, 5)
    count = flopcount.count(lambda x: stray(layer(x)), torch.zeros(4, 5), backward=False)
    (item,) = count.uncounted
    assert (item.op, item.calls, item.shapes) == ("flopcount_test.outer", 1, ("(4, 5) -> (4, 4)",))
    # the layer 2·4·5·5 = 200 is sure; 20 inputs on 16 outputs bound the rest by 2·20·16 = 640
    assert count.total == 200
    assert count.flop_bounds == (200, 840)
    assert count.coverage.unknown == ("flopcount_test.outer",)
    assert count.coverage.share < 1
    # what it really costs, 2·4·5·4 = 160, lies inside
    assert 200 <= 200 + 160 <= 840


def test_a_user_gives_an_op_its_formula_in_three_lines(stray):
    @flopcount.formula("flopcount_test::outer")
    def outer(x, *, out):
        return 2 * x.shape[0] * x.shape[1] * out.shape[1]

    count = flopcount.count(stray, torch.zeros(4, 5), backward=False)
    assert count.total == 160
    assert count.uncounted == ()
    assert dict(count.by_op) == {"flopcount_test.outer": 160}


@pytest.mark.parametrize("answer", [1.5, -1, True, None])
def test_a_formula_must_answer_whole_flop(stray, answer):
    flopcount.formula("flopcount_test::outer")(lambda _x, *, out: answer)
    with pytest.raises(flopcount.FormulaError, match="whole FLOP"):
        flopcount.count(stray, torch.zeros(4, 5), backward=False)


def test_a_formula_needs_a_namespace():
    with pytest.raises(flopcount.FormulaError, match="namespace::op"):
        flopcount.formula("outer")


def test_a_kernel_launched_from_python_is_counted_and_runs_untouched_outside():
    launched = []

    @flopcount.kernel(
        flop=lambda x, w: 2 * x.shape[0] * x.shape[1] * w.shape[1],
        result=lambda x, w: x.new_empty(x.shape[0], w.shape[1]),
    )
    def fused(x, w):
        launched.append(1)
        return x @ w

    x, w = torch.zeros(3, 4), torch.zeros(4, 5)
    count = flopcount.count(fused, x, w)
    assert count.total == 120
    assert launched == []
    assert fused(x, w).shape == (3, 5)
    assert launched == [1]


def test_loops_over_known_values():
    from torch._higher_order_ops.scan import scan
    from torch._higher_order_ops.while_loop import while_loop

    def loop(x):
        start = (torch.tensor(0), x)
        return while_loop(lambda i, _: i < 5, lambda i, y: (i + 1, y @ y), start)

    # five products of 2·4³ = 128
    assert flopcount.count(loop, torch.ones(4, 4)).total == 640

    def carry(x):
        return scan(lambda c, row: (c @ row, c.clone()), torch.ones(4, 4), x)

    assert flopcount.count(carry, torch.ones(3, 4, 4)).total == 384


def test_flex_attention_dense_and_by_its_block_mask():
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    window = 32

    def local(_b, _h, i, j):
        return (i >= j) & (i - j < window)

    mask = create_block_mask(local, None, None, 256, 256, device="cpu")
    q = torch.zeros(1, 2, 256, 16, requires_grad=True)
    count = flopcount.count(lambda x: flex_attention(x, x, x, block_mask=mask), q)
    # 4·(2 heads)·256²·16 forward
    assert (count.forward, count.backward) == (8388608, 16777216)
    # row i sees min(i + 1, 32) keys: 32·33/2 + 224·32 = 7696 of 65536 pairs
    assert count.masked_total == (8388608 + 16777216) * 7696 // 65536
    assert count.attention_flop == count.total


def test_dtypes_are_told_apart():
    def mixed(a, b):
        return a @ a, b @ b

    count = flopcount.count(
        mixed, torch.zeros(4, 4, dtype=torch.bfloat16), torch.zeros(4, 4, dtype=torch.float16)
    )
    assert dict(count.by_dtype) == {"bf16": 128, "fp16": 128}


def test_fp8_products_are_counted_as_fp8():
    a = torch.zeros(32, 16, dtype=torch.float8_e4m3fn, device="meta")
    b = torch.zeros(16, 32, dtype=torch.float8_e4m3fn, device="meta").t().contiguous().t()
    one = torch.ones((), device="meta")

    def scaled(a, b):
        return torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)

    # 2·32·16·32
    count = flopcount.count(scaled, a, b)
    assert dict(count.by_dtype) == {"fp8": 32768}


def test_attention_has_the_dtype_of_its_queries():
    q = torch.zeros(1, 2, 8, 4, dtype=torch.bfloat16)
    count = flopcount.count(torch.nn.functional.scaled_dot_product_attention, q, q, q)
    # the reference kernel on meta computes bf16 attention in single precision
    assert set(count.by_dtype) == {"bf16"}


@pytest.mark.parametrize("style", ["boolean", "additive", "flag", "by hand", "with sinks"])
def test_a_causal_mask_is_read_however_it_is_given(style):
    size = 8
    q = torch.zeros(1, 2, size, 4, requires_grad=True)

    def attend(x):
        if style == "flag":
            return torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        allowed = torch.ones(size, size, dtype=torch.bool, device=x.device).tril()
        minus = torch.zeros(size, size, device=x.device).masked_fill(~allowed, -1e30)
        if style == "by hand":
            return torch.softmax(x @ x.transpose(-1, -2) + minus, -1) @ x
        if style == "with sinks":  # a logit a head beside the scores, as gpt-oss has it
            scores = x @ x.transpose(-1, -2) + minus
            sinks = torch.zeros(1, 2, 1, 1, device=x.device).expand(1, 2, size, 1)
            every = torch.cat([scores, sinks], -1)
            every = every - every.max(-1, keepdim=True).values
            return torch.softmax(every, -1)[..., :-1] @ x
        mask = allowed if style == "boolean" else minus
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    count = flopcount.count(attend, q)
    # 4·2·64·4 = 2048 forward, twice that backward; 36 of 64 pairs
    assert count.total == count.attention_flop == 6144
    assert count.masked_total == 6144 * 36 // 64


@pytest.mark.parametrize("last", ["causal", "window", "bias"])
def test_masks_that_join_the_scores_one_after_the_other_all_count(last):
    size = 8

    def attend(x):
        places = torch.arange(size, device=x.device)
        ahead = places[None, :] > places[:, None]
        behind = places[None, :] <= places[:, None] - 3
        scores = x @ x.transpose(-1, -2)
        steps = {
            "window": lambda s: s.masked_fill(behind, -1e30),
            "causal": lambda s: (
                s + torch.zeros(size, size, device=x.device).masked_fill(ahead, -1e30)
            ),
            "bias": lambda s: s + (places[None, :] - places[:, None]).float(),
        }
        for name in [*(step for step in steps if step != last), last]:
            scores = steps[name](scores)
        return torch.softmax(scores, -1) @ x

    count = flopcount.count(attend, torch.zeros(1, 2, size, 4, requires_grad=True))
    # 4·2·64·4 = 2048 forward, twice that backward; windows of three: 1 + 2 + 6·3 = 21 of 64 pairs
    assert count.attention_flop == 6144
    assert count.masked_total == 6144 * 21 // 64


def test_a_softmax_over_much_more_than_the_product_is_none_of_its_scores():
    """Ten columns of something else: no sinks, and which of them the next product takes is open."""

    def mixed(x):
        scores = torch.cat([x @ x.transpose(-1, -2), x.new_zeros(1, 2, 8, 10)], -1)
        return torch.softmax(scores, -1)[..., :8] @ x

    count = flopcount.count(mixed, torch.zeros(1, 2, 8, 4, requires_grad=True))
    assert count.total == 6144
    assert count.attention_flop == 0


def test_a_mask_without_values_counts_in_full_and_says_so():
    def attend(q, mask):
        return torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)

    mask = torch.zeros(8, 8, dtype=torch.bool, device="meta")
    count = flopcount.count(attend, torch.zeros(1, 2, 8, 4), mask)
    assert count.masked_total == count.total
    assert any("masks are unknown" in note for note in count.notes)


def test_values_that_follow_from_shapes_or_inputs_are_known():
    layer = nn.Linear(4, 4)

    def picky(x, lengths):
        longest = int(lengths.max())
        if torch.arange(longest, device=x.device).sum().item() == 3:  # 0 + 1 + 2
            return layer(x[:longest])
        return x

    # three rows: 2·3·4·4
    count = flopcount.count(picky, torch.zeros(5, 4), torch.tensor([1, 3, 2]))
    assert count.forward == 96
    assert count.method == "meta"


def test_a_question_about_random_numbers_is_answered_by_running():
    layer = nn.Linear(4, 4)

    def moody(x):
        noise = torch.rand(3, device=x.device)
        return layer(x) if (noise >= 0).all().item() else x

    count = flopcount.count(moody, torch.zeros(5, 4))
    assert count.method == "cpu"
    assert count.forward == 2 * 5 * 4 * 4
    assert any(note.startswith("meta:") for note in count.notes)


def test_memory_that_was_written_to_has_no_remembered_value():
    def stale(x):
        marks = torch.zeros(3, dtype=torch.long, device=x.device)
        marks[1:] += 1
        return x @ x if marks.sum().item() == 2 else x

    # the branch must be the one that really runs: a product of 2·4³
    assert flopcount.count(stale, torch.zeros(4, 4)).forward == 128


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
def test_nested_tensors_count_their_own_lengths(layout):
    rows = [torch.randn(3, 8), torch.randn(5, 8)]
    nested = torch.nested.nested_tensor(rows, layout=layout)
    count = flopcount.count(nn.Linear(8, 4), nested, backward=False)
    # (3 + 5) rows: 2·8·8·4
    assert count.forward == 512
    assert count.uncounted == ()


def test_vmap_gradient_penalty_and_transformed_functions():
    weight = torch.randn(5, 4)
    # three rows of 2·5·4
    mapped = flopcount.count(torch.func.vmap(lambda row: weight @ row), torch.zeros(3, 4))
    assert mapped.forward == 120

    layer = nn.Linear(4, 4)

    def penalty(x):
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
        return (slope**2).sum()

    count = flopcount.count(penalty, torch.zeros(3, 4))
    # forward 2·3·4·4 = 96; the slope is one product of 96, and its own backward a product each for
    # the weight and for what the layer was given (constant ones: none)
    assert count.forward == 96
    assert count.backward in (192, 288)
    assert count.recompute == 0


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("window", "pairs"), [((-1, -1), 83), ((-1, 0), 49), ((2, 0), 36), ((1, 1), 13 + 7 + 19)]
)
def test_packed_attention_goes_by_its_lengths_and_window(window, pairs, known):
    """3, 5 and 7 tokens: 9 + 25 + 49 pairs; causal 6 + 15 + 28; two back 6 + 12 + 18; one beside."""
    varlen = pytest.importorskip("torch.nn.attention.varlen")
    q = torch.zeros(15, 2, 8, dtype=torch.bfloat16, requires_grad=True)
    starts = torch.tensor([0, 3, 8, 15], dtype=torch.int32, device="cpu" if known else "meta")
    count = flopcount.count(
        lambda q, starts: varlen.varlen_attn(q, q, q, starts, starts, 7, 7, window_size=window),
        q,
        starts,
    )
    a_pair = 2 * 2 * 2 * 8  # scores and values, 2 heads of 8
    if known:
        assert (count.forward, count.backward) == (83 * a_pair, 2 * 83 * a_pair)
        assert count.masked_total == 3 * pairs * a_pair
        assert count.flop_bounds is None
    else:  # as if each of the 15 saw the longest; at least itself
        assert count.flop_bounds == (3 * 15 * a_pair, 3 * 15 * 7 * a_pair)


@pytest.mark.parametrize("keys", range(5))
@pytest.mark.parametrize("queries", range(1, 5))
def test_pairs_within_a_window(queries, keys):
    from flopcount.formulas.packed_attention import pairs_within

    for left in (None, 0, 1, 3):
        for right in (None, 0, 2):
            seen = sum(
                (left is None or key >= place - left) and (right is None or key <= place + right)
                for place in range(keys - queries, keys)
                for key in range(keys)
            )
            assert pairs_within(queries, keys, left, right) == seen


@pytest.mark.parametrize("trained", [True, False])
def test_a_loss_fused_with_its_layer(trained):
    options = pytest.importorskip("torch.nn").LinearCrossEntropyOptions(batch_chunk_size=4)
    loss = torch.nn.LinearCrossEntropyLoss(16, 50, options=options)
    for parameter in loss.parameters():
        parameter.requires_grad_(trained)
    x, target = torch.zeros(12, 16, requires_grad=True), torch.zeros(12, dtype=torch.long)
    count = flopcount.count(loss, x, target)
    logits = 2 * 12 * 16 * 50
    assert (count.forward, count.backward) == (logits, (1 + trained) * logits)
    assert count.uncounted == ()
