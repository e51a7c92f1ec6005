"""Modules are saved and copied without our seams, also by classes that say themselves what is saved.

torch leaves the seam's entry out where a module is pickled, but its recurrent layers,
``DistributedDataParallel`` and classes of programs have a ``__getstate__`` of their own. What they saved
could not be loaded again with ``weights_only``. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from profilers.steps.standing.layers import placed


def without(module_class: Any, entry: str, seam_class: type) -> Callable[[], None]:
    """Leave seams out of whatever a module is pickled or copied by; answers what undoes it.

    Args:
        module_class: ``torch.nn.Module``.
        entry: What the seam is called in a module's dictionary.
        seam_class: Its class.

    """
    before = module_class.__reduce_ex__

    def __reduce_ex__(self: Any, protocol: Any) -> Any:  # noqa: N807 - Python's name
        found = before(self, protocol)
        if type(found) is not tuple or len(found) < 3:
            return found
        state = found[2]
        if type(state) is tuple and state and type(state[0]) is dict:  # with slots
            return (*found[:2], (_plain(state[0], entry, seam_class), *state[1:]), *found[3:])
        if type(state) is dict:
            return (*found[:2], _plain(state, entry, seam_class), *found[3:])
        return found

    return placed(module_class, "__reduce_ex__", __reduce_ex__)


def _plain(state: dict[str, Any], entry: str, seam_class: type) -> dict[str, Any]:
    """The state as it would be without a recording."""
    seam = state.get(entry)
    if not isinstance(seam, seam_class):
        return state
    inner: Any = seam
    while isinstance(inner, seam_class):  # of several recordings
        inner = inner.inner  # type: ignore[attr-defined]
    return {
        key: inner if key == entry else value
        for key, value in state.items()
        if key != entry or inner is not None
    }
