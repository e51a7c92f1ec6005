"""Who is this process among all that train together? torch is asked only where it is loaded."""

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LAUNCHERS = (
    ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_SIZE"),
    ("FLUX_TASK_RANK", "FLUX_TASK_LOCAL_ID", "FLUX_JOB_SIZE"),
    ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK", "JSM_NAMESPACE_SIZE"),
    ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"),
)
"""Names by which launchers tell a process its rank, its rank on the node, and how many there are.

Slurm's come last, for ``mpirun`` in a batch script hands on the script's. Of these, ``SLURM_NTASKS``
also stands in a batch script, which runs once however many tasks were asked for; the number of a step's tasks
is told by ``srun`` alone.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """A process's place in its job."""

    rank: int
    local_rank: int
    world_size: int


def identity(environ: Mapping[str, str] = os.environ) -> Identity:
    """Return the process's rank: from the process group where there is one, else the launcher's."""
    told = ((_whole(environ, rank), local, size) for rank, local, size in LAUNCHERS)
    rank, *names = next((one for one in told if one[0] is not None), (None, "", ""))
    local, world = _whole(environ, "LOCAL_RANK", names[0]), _whole(environ, "WORLD_SIZE", names[1])
    group = _process_group()
    if group is not None:
        rank, world = group.get_rank(), group.get_world_size()
    rank = rank or 0
    return Identity(
        rank=rank,
        local_rank=rank if local is None else local,
        world_size=max(1 if world is None else world, rank + 1),
    )


def _process_group() -> Any:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed


def _whole(environ: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        text = environ.get(name, "")
        if text.isdigit() and len(text) < 9:
            return int(text)
    return None


def mesh_of(parameters: Iterable[Any]) -> dict[str, int] | None:
    """Return names and sizes of the widest mesh over which parameters are spread, if any."""
    best: Any = None
    for parameter in parameters:
        mesh = getattr(parameter, "device_mesh", None)
        if mesh is not None and (best is None or mesh.ndim > best.ndim):
            best = mesh
    if best is None:
        return None
    names = best.mesh_dim_names or tuple(f"dim{i}" for i in range(best.ndim))
    return {str(name): int(best.size(i)) for i, name in enumerate(names)}


def versions() -> dict[str, str]:
    """Return the versions that decide what runs."""
    found = {"python": platform.python_version()}
    for name in ("torch", "transformers", "numpy"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    return found
