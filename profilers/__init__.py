"""What was seen while it ran? Readings, traces and the instruments that take them."""

from profilers.errors import ProfilersError

__all__ = ["ProfilersError"]
