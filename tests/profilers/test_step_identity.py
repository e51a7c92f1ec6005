"""Which rank is this, of how many? As launchers tell their processes where there is no process group."""

from __future__ import annotations

import pytest

from profilers.steps.record.identity import Identity, identity


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (0, 0, 1)),
        ({"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}, (5, 1, 8)),
        ({"WORLD_SIZE": "8"}, (0, 0, 8)),
        # srun, also where the program sets the size by itself
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "4"}, (3, 1, 4)),
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "WORLD_SIZE": "4"}, (3, 1, 4)),
        # a batch script of a job of eight tasks runs once; a step of fewer tasks than the job has
        ({"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "8"}, (0, 0, 1)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "2"}, (1, 1, 2)),
        # mpirun of Open MPI and of others, also inside of a batch script; torchrun below any of them
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 1, 2)),
        ({"PMI_RANK": "2", "MPI_LOCALRANKID": "0", "PMI_SIZE": "4"}, (2, 0, 4)),
        (
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "SLURM_PROCID": "0"},
            (1, 1, 2),
        ),
        (
            {"RANK": "7", "WORLD_SIZE": "8", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
            (7, 7, 8),
        ),
        ({"RANK": "one", "WORLD_SIZE": ""}, (0, 0, 1)),
    ],
)
def test_what_launchers_tell(environ: dict[str, str], expected: tuple[int, int, int]) -> None:
    rank, local, world = expected
    assert identity(environ) == Identity(rank=rank, local_rank=local, world_size=world)
