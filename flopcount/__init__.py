"""What should the computation have cost? Static FLOP counting; imports no torch until asked."""

from flopcount.errors import FlopcountError

__all__ = ["FlopcountError"]
