"""What every maker of inputs has: the model, its sizes, and plain tensors."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError

if TYPE_CHECKING:
    from flopcount.model_files.inputs.sizes import Sizes


class Plain:
    """One model, what its signature takes, and tensors of given shapes."""

    def __init__(self, model: Any, sizes: Sizes) -> None:
        self.model = model
        self.sizes = sizes
        first = next(model.parameters(), None)
        named = inspect.signature(model.forward).parameters
        if first is None or list(named) == ["input"]:
            # The signature of a module that has no forward pass of its own.
            raise FlopcountError(
                f"{sizes.source}: '{type(model).__name__}' has no forward pass of its own\n"
                "  give the configuration of one of its parts, or package.module:factory"
            )
        self.dtype = first.dtype
        takes = {n: p for n, p in named.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        self.accepted = set(takes)
        self.required = [n for n, p in takes.items() if p.default is p.empty]
        self._done: dict[str, Any] = {}

    def floats(self, *shape: int) -> Any:
        """A tensor of the model's own dtype, on meta."""
        import torch

        return torch.zeros(*shape, dtype=self.dtype, device="meta")

    def whole(self, *shape: int) -> Any:
        """A tensor of integers, on meta."""
        import torch

        return torch.zeros(*shape, dtype=torch.long, device="meta")

    def ones(self, *shape: int, boolean: bool = False) -> Any:
        """A mask that hides nothing, with its values."""
        import torch

        return torch.ones(*shape, dtype=torch.bool if boolean else torch.long)

    def known(self, rows: list[list[int]] | list[int]) -> Any:
        """Integers that steer the model, with their values."""
        import torch

        return torch.tensor(rows)

    # -------------------------------------------------------------- sizes
    def stated(self, key: str) -> int:
        """Return a size that the configuration states under its own name.

        Raises:
            InputSizeUnknownError: it does not.
        """
        found = self.sizes.number(key)
        if found is None:
            raise self.sizes.unknown(key, "which the configuration states for such a model")
        return found
