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
    if "_flopledger_child" not in sys.modules:
        module = type(sys)("_flopledger_child")
        module.__file__ = os.path.join(_HERE, os.pardir, "child.py")
        with open(module.__file__, "rb") as file:
            exec(compile(file.read(), module.__file__, "exec"), module.__dict__)
        sys.modules["_flopledger_child"] = module
    return sys.modules["_flopledger_child"]


def _hello(run_dir):
    line = '{"event": "python", "pid": %d, "parent": %d}\n' % (os.getpid(), os.getppid())
    path = os.path.join(run_dir, "processes", os.uname()[1] + ".jsonl")
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.fstat(file).st_size < 1 << 20:  # a run of a million processes shall not fill the disk
            os.write(file, line.encode())
    finally:
        os.close(file)


_HERE = os.path.dirname(__file__)
try:
    if os.environ.get("FLOPLEDGER_RECORD") and "_flopledger_child" not in sys.modules:
        sys.meta_path.insert(0, _Watch())
        if "torch" in sys.modules:  # a .pth file was faster
            _child().begin()
        _hello(os.environ["FLOPLEDGER_RECORD"])
except Exception:
    pass

# Python shall find the user's sitecustomize as if this one had never been there: with its result,
# with its exceptions, and without a module of this name where there is none.
sys.path[:] = [entry for entry in sys.path if entry != _HERE]
sys.path_importer_cache.pop(_HERE, None)
del sys.modules["sitecustomize"]
import sitecustomize
