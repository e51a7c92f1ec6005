"""So how much was it, and does the claim hold? The roof over the three pillars."""

from flopledger.errors import FlopledgerError

__all__ = ["FlopledgerError"]
