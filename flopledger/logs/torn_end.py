"""The last line of a log that was cut: a job killed while it wrote, or a log copied while it grew.

``consumed samples:     51`` of 51,200 looks like a figure. A last line without its end is held against the
lines above it: where one of them begins as it does and goes on, the last one was cut, and is not read.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator

LEFT_OUT = (
    "the last line ends in its middle, as where a program is killed or a log is copied while it grows: it "
    "was not read"
)
MAY_BE_CUT = (
    "the file ends in a figure and not with a line end; if it was cut there, the last figure is "
    "another one"
)

Numbered = tuple[int, str]

#: So many lines above are looked at: a step line and its like, with evaluations and warnings between.
_LOOKED_BACK = 200
_OF_A_FIGURE = frozenset("0123456789.,")
_FIGURE, _SPACE = re.compile(r"[-+]?\d+"), re.compile(r"\s+")


def kept(
    lines: Iterator[Numbered], *, is_open: Callable[[], bool], tell: Callable[[str, int], None]
) -> Iterator[Numbered]:
    """Give all lines but a last one that was cut.

    ``is_open``, asked at the end: whether the last line has no end. ``tell`` gets what became of it,
    with its number.
    """
    above: deque[str] = deque(maxlen=_LOOKED_BACK)
    pending: Numbered | None = None
    for line in lines:
        if pending is not None:
            yield pending
            above.append(pending[1])
        pending = line
    if pending is None:
        return
    if is_open():
        if is_cut(pending[1], above):
            tell(LEFT_OUT, pending[0])
            return
        if pending[1][-1:] in _OF_A_FIGURE:
            tell(MAY_BE_CUT, pending[0])
    yield pending


def is_cut(last: str, above: "deque[str]") -> bool:
    """Say whether a line, figures and spaces apart, is the beginning of a longer one above it."""
    shape = _shape(last.rstrip("+-"))  # a sign belongs to the figure behind it
    return bool(shape) and any(
        len(other) > len(shape) and other.startswith(shape) for other in map(_shape, above)
    )


def _shape(text: str) -> str:
    return _SPACE.sub(" ", _FIGURE.sub("0", text)).strip()
