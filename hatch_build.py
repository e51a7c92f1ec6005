"""Compiles the few C files, where there is a compiler; without it the package works as well, and slower.

Hatchling calls this for wheels and editable installations (design/123).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("profilers") / "csrc"
TARGET = SOURCE.with_name("_hot.abi3.so")
"""The stable interface: one file for Python 3.11 and every later version."""


class GlanceHook(BuildHookInterface[Any]):
    """Puts the compiled file where it belongs, or says why there is none."""

    PLUGIN_NAME = "custom"
    _made: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile: for an editable installation into the source tree, else for the wheel alone."""
        source, target = Path(self.root) / SOURCE, Path(self.root) / TARGET
        if version != "editable":
            self._made = tempfile.TemporaryDirectory(prefix="flopledger-")
            target = Path(self._made.name) / TARGET.name
        failure = compiled(source, target)
        if failure is not None:
            self.app.display_warning(f"{SOURCE} was not compiled; its Python is used: {failure}")
            return
        build_data["pure_python"] = False
        if self._made is not None:
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{platform}"
            build_data["force_include"][str(target)] = str(TARGET)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind once the wheel is written."""
        if self._made is not None:
            self._made.cleanup()


def compiled(source: Path, target: Path) -> str | None:
    """Compile the C files; answers what stood in the way, or None.

    Args:
        source: Their folder.
        target: What is written, in one go. Where that fails, nothing stays there, of an older source
            neither.

    """
    made = target.with_name(f"{target.name}.{os.getpid()}")
    failure = _compiled(source, made)
    if failure is None:
        made.replace(target)
        return None
    for path in (made, target):
        path.unlink(missing_ok=True)
    return failure


def _compiled(source: Path, target: Path) -> str | None:
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python has not the stable interface of CPython"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [
        *compiler, "-O2", "-fPIC", "-shared", f"-I{sysconfig.get_path('include')}",
        *shlex.split(os.environ.get("CFLAGS", "")), "-o", str(target), *map(str, sorted(source.glob("*.c"))),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode:
        return done.stderr.strip()[-500:] or f"{compiler[0]} ended with {done.returncode}"
    return None
