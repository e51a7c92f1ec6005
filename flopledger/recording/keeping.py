"""What was said of a checkpoint is on the disk before the program has the checkpoint.

A kill right after it would otherwise leave a file that no ledger knows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flopledger.recording.recorder import Recorder

MOST_SHARE = 20
"""The steps before it are written, too; all in all a twentieth of the time may go into that."""


class Keeping:
    """Writes in the middle of a second."""

    def __init__(self, recorder: Recorder) -> None:
        """Take the recording."""
        self._recorder = recorder
        self._next = 0.0

    def reached(self) -> int:
        """Return the number of the last step that is over; what is over is in the book then."""
        self._recorder.observer.fold(counting=False)
        return self._recorder.numbers.reached

    def keep(self) -> None:
        """Write what was said, and the steps before it as time allows."""
        recorder, began = self._recorder, time.monotonic()
        if began < self._next:
            recorder.book.write_heads()
            return
        recorder.book.flush(None, keep=recorder.open_to_words)
        ended = time.monotonic()
        self._next = ended + MOST_SHARE * (ended - began)
