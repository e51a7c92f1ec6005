"""What all headers tell: a name, a dtype and a shape."""

from dataclasses import dataclass
from math import prod

from flopcount.errors import FlopcountError

MOST_TENSORS = 2_000_000
LARGEST_SIDE = 2**48


class HeaderError(FlopcountError):
    """A file of weights whose header is corrupt, cut off or of an unknown kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor of a checkpoint."""

    name: str
    dtype: str
    """As the file calls it: ``BF16``, ``Q4_K``, ``HalfStorage``."""
    shape: tuple[int, ...]
    part: str = ""
    """The key of a checkpoint's outermost dictionary below which it stands; empty: there is one."""
    identity: object = None
    """Equal for tensors that share their memory (tied weights); None: its own."""

    @property
    def numbers(self) -> int:
        """Elements; one for a scalar."""
        return prod(self.shape)


def checked_shape(shape: object, name: str, where: str) -> tuple[int, ...]:
    """Return the shape as whole numbers in bounds.

    Raises:
        HeaderError: it is not one.
    """
    if not isinstance(shape, list | tuple) or len(shape) > 16:
        raise HeaderError(f"{where}: the shape of '{name[:80]}' is no list of sizes")
    for side in shape:
        if type(side) is not int or not 0 <= side <= LARGEST_SIDE:
            raise HeaderError(f"{where}: the shape of '{name[:80]}' has an impossible size")
    return tuple(shape)
