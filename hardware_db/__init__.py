"""What could the machine do? Accelerators, their peaks, and where each figure comes from."""

from hardware_db.errors import HardwareError

__all__ = ["HardwareError"]
