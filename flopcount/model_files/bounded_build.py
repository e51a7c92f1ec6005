"""Ends the building of a model that would never be done: on meta weights are free, modules are not.

A file may state a number of layers under any name (groups, blocks, stages), so no list of keys is
complete. What a number makes is counted instead.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flopcount.model_files.config_file import ConfigError

MOST_MODULES = 400_000
"""Switch-C, the model of most modules so far: 30 layers of 2,048 experts of five, 307,200."""


class TooManyModulesError(ConfigError):
    """A configuration that asks for more modules than any model has."""


@contextlib.contextmanager
def bounded_modules(file: Path) -> Iterator[None]:
    """Within, this thread may put at most ``MOST_MODULES`` modules into others.

    Raises:
        TooManyModulesError: it would put in more.
    """
    from torch.nn.modules.module import register_module_module_registration_hook

    mine, made = threading.get_ident(), 0

    def count(_parent: Any, _name: str, module: Any) -> None:
        nonlocal made
        if module is None or threading.get_ident() != mine:
            return
        made += 1
        if made > MOST_MODULES:
            msg = (
                f"{file}: builds more than {MOST_MODULES:,} modules\n"
                "  no model has so many: look for a number of layers, groups or blocks that is off"
            )
            raise TooManyModulesError(msg)

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
