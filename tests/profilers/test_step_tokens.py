"""What counts as tokens: the rule of docs/recording.md on inputs as libraries pass them."""

import pytest

torch = pytest.importorskip("torch")

from profilers.steps.calls.signature import tokens_of  # noqa: E402

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
        ({"input_ids": IDS[0], "position_ids": IDS}, 7, None),  # texts packed into one row
        ({"tokens": IDS[0], "positions": IDS[0]}, 7, None),
        ({"pixel_values": torch.zeros(2, 3, 8, 8), "timestep": IDS[0]}, None, 2),
        ({"pixel_values": torch.zeros(2, 3, 8, 8)}, None, 2),
    ],
)
def test_tokens_and_samples(kwargs, tokens, samples) -> None:
    assert tokens_of(kwargs, list(kwargs.values())) == (tokens, samples)


def test_positional_numbers_are_tokens() -> None:
    assert tokens_of({}, [IDS]) == (14, 2)


class Packed(torch.nn.Module):
    """As torchtitan's models: one row of tokens, by position."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = torch.nn.Embedding(5, 8), torch.nn.Linear(8, 5)

    def forward(self, tokens, padding_mask=None):
        return self.head(self.rows(tokens))


def test_what_is_given_by_position_has_the_names_of_forward(tmp_path) -> None:
    import flopledger
    from profilers.steps.record.ledger import read_steps

    model = Packed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with flopledger.record(tmp_path, sampler=False):
        model(
            torch.zeros(7, dtype=torch.int64), torch.ones(2, 9, dtype=torch.int64)
        ).sum().backward()
        optimizer.step()
    (process,) = read_steps(tmp_path)
    (step,) = process.steps()
    assert (step.tokens, step.samples) == (7, None)
