"""Long work on a terminal: what is being done, until it is done."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show ``text`` with a sign of life on a terminal, and leave nothing of it; silent elsewhere."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    from flopledger.unseen import visible

    with Console(stderr=True, highlight=False).status(Text(f"{visible(text)} ...")):
        yield
