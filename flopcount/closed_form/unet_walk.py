"""Walks the levels of a U-Net down and up again, writing each layer on the sheet."""

from collections.abc import Mapping
from typing import Any

from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.sheet import Sheet


class UNetWalk:
    """The walk. Sizes halve from level to level; each block's result is kept for the way up.

    A residual block is two 3 x 3 convolutions, the time step's projection, and a 1 x 1 convolution
    where its width changes. A transformer attends to its own cells, then to the text, whose keys
    and values have no gradient to hand on: the text is data.
    """

    def __init__(self, sheet: Sheet, d: Mapping[str, Any], *, batch: int, text: int) -> None:
        self.sheet, self.d, self.batch, self.text = sheet, d, batch, text
        self.channels = [int(c) for c in d["channels"]]
        self.time = 4 * self.channels[0]

    def run(self, size: tuple[int, int]) -> None:
        """Write the whole network."""
        levels = len(self.channels)
        if any(side % 2 ** (levels - 1) for side in size):
            msg = f"latent = {size[0]} x {size[1]} is no multiple of {2 ** (levels - 1)}"
            raise DimensionsError(msg + "\n  a U-Net of that depth halves it at every level")
        cells = size[0] * size[1]
        self._embeddings()
        first = self.channels[0]
        self.conv("in", 3, int(self.d["in_channels"]), first, cells, data=True)
        kept, cells = self._down(first, cells)
        width = self.channels[-1]
        self.residual("middle", width, width, cells)
        if self.d["middle_attends"]:
            self.transformer("middle", width, cells, int(self.d["depths"][-1]))
        self.residual("middle", width, width, cells)
        cells = self._up(kept, cells)
        self.sheet.vector(2 * first)
        self.conv("out", 3, first, int(self.d["out_channels"]), cells)

    def _embeddings(self) -> None:
        pairs = [("time", self.channels[0])]
        if self.d.get("added_width"):
            pairs.append(("added", int(self.d["added_width"])))
        for name, width in pairs:
            self.sheet.linear(f"{name}.first", width, self.time, self.batch, bias=True,
                              input_gradient=False)  # fmt: skip
            self.sheet.linear(f"{name}.second", self.time, self.time, self.batch, bias=True)

    def _down(self, width: int, cells: int) -> tuple[list[int], int]:
        kept = [width]
        last = len(self.channels) - 1
        for level, channels in enumerate(self.channels):
            for _ in range(int(self.d["levels"][level])):
                self.residual(f"down.{level}", width, channels, cells)
                width = channels
                if self.d["down_attends"][level]:
                    self.transformer(f"down.{level}", width, cells, int(self.d["depths"][level]))
                kept.append(width)
            if level < last:
                cells //= 4
                self.conv(f"down.{level}.half", 3, width, width, cells)
                kept.append(width)
        return kept, cells

    def _up(self, kept: list[int], cells: int) -> int:
        width, last = self.channels[-1], len(self.channels) - 1
        for step in range(last + 1):
            level = last - step
            channels = self.channels[level]
            for _ in range(int(self.d["levels"][level]) + 1):
                self.residual(f"up.{level}", width + kept.pop(), channels, cells)
                width = channels
                if self.d["up_attends"][step]:
                    self.transformer(f"up.{level}", width, cells, int(self.d["depths"][level]))
            if step < last:
                cells *= 4
                self.conv(f"up.{level}.double", 3, width, width, cells)
        return cells

    def conv(
        self, name: str, side: int, width: int, results: int, cells: int, *, data: bool = False
    ) -> None:
        """A convolution with a bias on ``cells`` cells a sample."""
        self.sheet.linear(name, side * side * width, results, self.batch * cells, bias=True,
                          input_gradient=not data)  # fmt: skip

    def residual(self, name: str, width: int, results: int, cells: int) -> None:
        """Two convolutions around the time step, and a way past them."""
        self.sheet.vector(2 * width + 2 * results)
        self.conv(f"{name}.residual", 3, width, results, cells)
        self.sheet.linear(f"{name}.time", self.time, results, self.batch, bias=True)
        self.conv(f"{name}.residual", 3, results, results, cells)
        if width != results:
            self.conv(f"{name}.past", 1, width, results, cells)

    def transformer(self, name: str, width: int, cells: int, depth: int) -> None:
        """``depth`` blocks of self-attention, attention to the text and a gated feed-forward."""
        rows, words, text = self.batch * cells, self.batch * self.text, int(self.d["text_width"])
        self.sheet.vector(2 * width)
        self.conv(f"{name}.project", 1, width, width, cells)
        for part, inputs, results, positions, bias, data in (
            ("self.query", width, width, rows, False, False),
            ("self.key", width, width, rows, False, False),
            ("self.value", width, width, rows, False, False),
            ("self.output", width, width, rows, True, False),
            ("text.query", width, width, rows, False, False),
            ("text.key", text, width, words, False, True),
            ("text.value", text, width, words, False, True),
            ("text.output", width, width, rows, True, False),
            ("ffn.gate_and_up", width, 8 * width, rows, True, False),
            ("ffn.down", 4 * width, width, rows, True, False),
        ):
            self.sheet.linear(f"{name}.{part}", inputs, results, positions, times=depth,
                              bias=bias, input_gradient=not data)  # fmt: skip
        for part, keys in (("self", cells), ("text", self.text)):
            for product in ("scores", "values"):
                self.sheet.scores(f"{name}.{part}.{product}", batch=self.batch, heads=1,
                                  width=width, queries=cells, keys=keys, times=depth)  # fmt: skip
        self.sheet.vector(6 * width, times=depth)
        self.conv(f"{name}.project", 1, width, width, cells)
