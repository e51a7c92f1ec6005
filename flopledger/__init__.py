"""So how much was it, and does the claim hold? The roof over the three pillars."""

from flopledger.errors import FlopledgerError

__version__ = "0.1.0"

__all__ = ["FlopledgerError", "__version__"]
