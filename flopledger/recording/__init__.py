"""The training-loop face: what did each call cost, and what is the run's total?"""

from flopledger.recording.face import Recording, record

__all__ = ["Recording", "record"]
