"""What counts as tokens: the rule of docs/recording.md on inputs as libraries pass them."""

import pytest

torch = pytest.importorskip("torch")

from profilers.step_signature import tokens_of  # noqa: E402

IDS = torch.zeros(2, 7, dtype=torch.int64)
MASK = torch.ones(2, 7, dtype=torch.int64)
WAVE = torch.zeros(2, 16000)
HEARD = torch.ones(2, 16000, dtype=torch.int64)
EMBEDDED = torch.zeros(2, 7, 16, requires_grad=True)


@pytest.mark.parametrize(
    ("kwargs", "tokens", "samples"),
    [
        ({"attention_mask": MASK, "input_ids": IDS}, 14, 2),  # 2 x 7, whatever stands first
        ({"inputs_embeds": EMBEDDED, "attention_mask": MASK}, 14, 2),
        ({"x": IDS}, 14, 2),
        ({"input_values": WAVE, "attention_mask": HEARD}, None, 2),  # a mask of 32,000 is no text
        ({"pixel_values": torch.zeros(2, 3, 8, 8)}, None, 2),
    ],
)
def test_tokens_and_samples(kwargs, tokens, samples) -> None:
    assert tokens_of(kwargs, list(kwargs.values())) == (tokens, samples)


def test_positional_numbers_are_tokens() -> None:
    assert tokens_of({}, [IDS]) == (14, 2)
