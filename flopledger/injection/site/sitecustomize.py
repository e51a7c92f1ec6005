"""Waits for torch in a Python child, then lets the user's own ``sitecustomize`` run.

Python imports this file at its start, before any user code, because ``flopledger run`` put its
folder on ``PYTHONPATH``. It must live in any Python, in any environment, and cost nothing: it is
short because it may have to be compiled anew in each process, and it imports only what an
interpreter has loaded by itself. What fails here fails in silence: the run goes on.
"""

import os
import sys


class _Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" and self in sys.meta_path:
            return _child().find_torch(self, name, path, target)


def _child():
    child = sys.modules.get("_flopledger_child")
    if child is None:
        child = type(sys)("_flopledger_child")
        child.RUN_DIR = _RUN_DIR
        child.__file__ = os.path.join(_HOME, os.pardir, "child.py")
        with open(child.__file__, "rb") as file:
            exec(compile(file.read(), child.__file__, "exec"), child.__dict__)
        sys.modules["_flopledger_child"] = child
    return child


def _hello():
    path = os.path.join(_RUN_DIR, "processes", os.uname()[1] + ".jsonl")
    with open(path, "ab", 0) as file:
        if file.tell() < 1 << 20:  # a run of a million processes shall not fill the disk
            line = b'{"event": "python", "pid": %d, "parent": %d}\n'
            file.write(line % (os.getpid(), os.getppid()))


_RUN_DIR = os.environ.get("FLOPLEDGER_RECORD")  # now: a program may empty its environment
_HERE = os.path.dirname(__file__)
_HOME = os.path.dirname(os.path.realpath(__file__))  # another place if this one is a link
try:
    if _RUN_DIR and "_flopledger_child" not in sys.modules:
        sys.meta_path.insert(0, _Watch())
        if "torch" in sys.modules:  # a .pth file was faster
            _child().begin()
        _hello()
except Exception:
    pass

# Python shall find the user's sitecustomize as if this one had never been there: with its result,
# with its exceptions, and without a module of this name where there is none.
sys.path[:] = [entry for entry in sys.path if entry not in (_HERE, _HOME)]
sys.path_importer_cache.pop(_HERE, None)
sys.path_importer_cache.pop(_HOME, None)
del sys.modules["sitecustomize"]
import sitecustomize
