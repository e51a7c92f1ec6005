"""The compiled one of ``profilers.step_glance``, where an installation has it."""

from typing import Any

from profilers.step_glance import Glance as _Glance
from profilers.step_glance import Way

VERSION: int

class Glance(_Glance): ...

def followed(node: Any, way: Way) -> Any: ...
