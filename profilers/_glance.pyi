"""The compiled one of ``profilers.step_glance``, where an installation has it."""

from profilers.step_glance import Glance as _Glance

VERSION: int

class Glance(_Glance): ...
