"""A plain PyTorch loop, recorded with one line: ``python plain.py [FOLDER]``."""

import sys
from pathlib import Path

import torch
from verdict import audited

import flopledger

LAYERS, HIDDEN, HEADS, VOCABULARY, SEQUENCE = 4, 128, 4, 512, 64


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(HIDDEN) for _ in range(2))
        self.qkv = torch.nn.Linear(HIDDEN, 3 * HIDDEN, bias=False)
        self.out = torch.nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.up = torch.nn.Linear(HIDDEN, 4 * HIDDEN, bias=False)
        self.down = torch.nn.Linear(4 * HIDDEN, HIDDEN, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        parts = self.qkv(self.norms[0](x)).view(batch, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        seen = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, HIDDEN))
        return x + self.down(torch.nn.functional.gelu(self.up(self.norms[1](x))))


class Gpt(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = torch.nn.Embedding(VOCABULARY, HIDDEN)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.head = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = Gpt()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with flopledger.record(folder / "run", model=model) as run:  # the one line
        for _ in range(30):
            ids = torch.randint(0, VOCABULARY, (8, SEQUENCE + 1))
            logits = model(ids[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return audited(
        folder,
        run.summary(),
        title="A plain loop",
        model=f"architecture = {{ layers = {LAYERS}, hidden = {HIDDEN}, heads = {HEADS}, "
        f"ffn = {4 * HIDDEN}, ffn_matrices = 2, vocabulary = {VOCABULARY}, "
        "tied_embeddings = false }",
        sequence_length=SEQUENCE,
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/plain")))
