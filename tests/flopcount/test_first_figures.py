"""Figures that everything else rests on."""

import pytest

torch = pytest.importorskip("torch")
import flopcount  # noqa: E402


def test_linear_training_step():
    # forward 2·3·4·5 = 120; weight gradient as much; no input gradient is needed
    count = flopcount.count(torch.nn.Linear(4, 5), torch.zeros(3, 4))
    assert (count.forward, count.backward, count.total) == (120, 120, 240)
    assert count.uncounted == ()
    assert count.flop_bounds is None


def test_causal_attention_states_dense_and_masked():
    def attend(x):
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)

    # two products of 2·B·H·S²·D = 2·1·2·8²·4 = 1024; backward twice that
    count = flopcount.count(attend, torch.zeros(1, 2, 8, 4, requires_grad=True))
    assert (count.forward, count.backward) == (2048, 4096)
    assert count.attention_flop == 6144
    # 8·9/2 = 36 of 64 pairs are allowed
    assert count.masked_total == 6144 * 36 // 64
