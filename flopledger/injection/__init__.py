"""How does a Python child get the recorder without a change of its code?

``environment`` gives a child the variables that bring ``site/sitecustomize.py`` into every Python
process below it; that file waits for torch and then calls ``child.begin``. ``processes`` reads what
those processes left behind. design/073 says why it is done this way.
"""

from flopledger.injection.environment import RECORD, as_given, environment, prepare
from flopledger.injection.processes import Seen, read_processes

__all__ = ["RECORD", "Seen", "as_given", "environment", "prepare", "read_processes"]
