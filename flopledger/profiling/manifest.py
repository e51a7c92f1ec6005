"""What a profiled run is: command, code, packages, host. Secrets are taken out before writing."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flopledger.secret_values import names_a_secret, redacted, without_secrets

SCHEMA = "flopledger/run/1"
_PACKAGES = (
    "torch", "transformers", "accelerate", "lightning", "deepspeed", "megatron-core", "jax",
    "tensorflow", "numpy", "nvidia-ml-py", "pyarrow", "flopledger",
)  # fmt: skip


def manifest(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Describe a run before it starts. Nothing in it is a secret's value."""
    return {
        "schema": SCHEMA,
        "command": redacted(command),
        "folder": str(Path.cwd()),
        "program": shutil.which(command[0]),
        "environment": environment_digest(environment),
        "git": git_state(Path.cwd()),
        "packages": packages(),
        "host": host(),
    }


def environment_digest(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return one digest over all variables, and those that decide where training runs."""
    whole = "\0".join(f"{name}={environment[name]}" for name in sorted(environment))
    telling = re.compile(
        r"^(CUDA_|NCCL_|NVIDIA_VISIBLE|HIP_|ROCR_|SLURM_|OMP_|PMI_SIZE$|OMPI_COMM_WORLD_SIZE$|"
        r"(LOCAL_)?WORLD_SIZE$|RANK$|NNODES$|NODE_RANK$)"
    )
    return {
        "sha256": hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest(),
        "variables": len(environment),
        "shown": {
            name: without_secrets(value)
            for name, value in sorted(environment.items())
            if telling.match(name) and not names_a_secret(name)
        },
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return revision and cleanliness of the working tree; None outside of one."""
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "clean": None if changed is None else not changed}


def _git(folder: Path, *arguments: str) -> str | None:
    # No hooks, no file-system monitor: a repository must not start a program of its own.
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command, cwd=folder, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def packages() -> dict[str, str]:
    """Return the versions of the packages that matter, as installed beside this tool."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """Return the host's inventory. Serial numbers and addresses are not part of it."""
    import psutil

    return {
        "name": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else None
