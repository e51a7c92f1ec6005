"""What a file is that no reader takes, and what would be read in its place.

"Not recognised" leaves an auditor with nothing to ask for. Nothing is read by these rules, so they may be
generous; a file that fits none of them is still named.
"""

import re
from collections.abc import Sequence

from flopledger.logs.document import Document

_LOOK = 1 << 16
_STARTS: Sequence[tuple[bytes, str]] = (
    (b"%PDF", "is a PDF: copy its text into a .txt or .md file, and its tables as Markdown"),
    (b"PK\x03\x04", "is an archive or an office document: unpack it, or save its tables as CSV"),
    (b"PAR1", "is Parquet: write it as CSV or JSON lines"),
    (b"\x28\xb5\x2f\xfd", "is packed by zstd: unpack it (`unzstd -k`)"),
    (b"7z\xbc\xaf", "is a 7z archive: unpack it"),
    (b"\x89PNG", "is a picture: no figure is read from pictures"),
    (b"\xff\xd8\xff", "is a picture: no figure is read from pictures"),
    (b"\x80\x02", "is a pickle, which is never loaded: hand in config.json, logs or safetensors"),
    (b"\x80\x04", "is a pickle, which is never loaded: hand in config.json, logs or safetensors"),
    (b"\xd0\xcf\x11\xe0", "is an old office document: save its text as .txt or its tables as CSV"),
    (b"\x89HDF", "is HDF5: hand in the program's log or its configuration"),
    (b"SQLite format 3\0", "is an SQLite store, not MLflow's nor Trackio's: export its runs as CSV or JSON"),
)  # fmt: skip
_TEXTS: Sequence[tuple[str, str]] = (
    (
        r"\AMANIFEST-\d{6}\n\Z",
        "is part of a RocksDB store, as Aim keeps its runs (.aim), which its own library alone reads: hand "
        "in the program's log, or state what `aim.Run(...).metrics()` gives with the store as its source",
    ),
    (
        r'"neuron_runtime_data"\s*:',
        "is neuron-monitor's report: shares of NeuronCores in use, from which nothing follows here; state "
        "accelerator_count and hours with the instance's name",
    ),
    (
        r"\bnpu-smi\b|^\|\s*NPU\s+Name\s*\|",
        "is npu-smi's page, one moment without a history: state the part, accelerator_count and hours with "
        "it as their source",
    ),
    (
        r"\ATimestamp, ?DeviceId, ?",
        "is xpu-smi's dump (Intel), which names no board; `flopledger import --mapping` reads it where you "
        "say what its columns mean",
    ),
    (
        r"^[ \t]{0,40}JOBID[ \t]+PARTITION[ \t]+NAME[ \t]+USER|^[ \t]{0,40}JOBID[ \t]+.*\bNODELIST\(REASON\)",
        "is squeue's view of jobs that wait or run; print the account when they have ended: "
        "`sacct --parsable2 --format=JobID,State,ElapsedRaw,AllocTRES,Start,End`, or `scontrol show job`",
    ),
    (
        r'^"JOB_(?:NEW|START|STATUS|EXECUTE)" "',
        "is LSF's log of events, whose jobs have not ended yet; hand in `bhist -l` of the job, or lsb.acct",
    ),
    (
        r"^[ \t]{0,40}Job Id: \d|^Job <\d+(?:\[\d+\])?>, ",
        "is a scheduler's page on a job in its queue (qstat -f, bjobs -l): hand in PBS' accounting log, or "
        "LSF's `bhist -l` or `bacct -l`, which tell how long it held its devices",
    ),
    (
        r'^"?ID"?,"?Process ID"?,"?Process Name"?|"Kernel Name".*"Metric Name"|==PROF==',
        "is Nsight Compute's profile of single kernels: seconds of one process, no amount of training; "
        "telemetry of the whole run is read (`nvidia-smi --query-gpu=... -l 1`, DCGM)",
    ),
    (
        r"Time \(%\)[, ]+Total Time \(ns\)|cuda_gpu_kern_sum|CUDA GPU Kernel Summary",
        "is Nsight Systems' summary of kernels: seconds of one process, no amount of training; telemetry of "
        "the whole run is read",
    ),
    (
        r"\A[^\n]{0,4000}\bBilledCost\b[^\n]{0,4000}\bConsumedQuantity\b|\A[^\n]{0,4000}"
        r"\bConsumedQuantity\b[^\n]{0,4000}\bBilledCost\b",
        "is a bill in FOCUS' form, which has no column for the instance type: hand in AWS' Cost and Usage "
        "Report, Azure's cost details or Google's billing export",
    ),
    (
        r'"traceEvents"\s*:',
        "is a profiler's trace of a few steps: the program's own log tells steps, batch and time",
    ),
    (
        r'"(?:cells)"\s*:\s*\[[^\0]{0,2000}"(?:cell_type|metadata)"',
        "is a notebook: hand in the output of its training cell as a text",
    ),
    (
        r"^NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE|^NAME\s+(?:STATUS\s+)?COMPLETIONS\s+DURATION",
        "is kubectl's table for people: hand in `kubectl get pods -o json` or `-o yaml`",
    ),
    (
        r"^[ \t]{0,40}apiVersion[ \t]*:|\"apiVersion\"\s*:",
        "is an object of Kubernetes other than pods and jobs: hand in `kubectl get pods,jobs -o json`",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.M), told) for pattern, told in _TEXTS)
_PROSE = (".md", ".markdown", ".mdx", ".rst", ".txt", ".html", ".htm", ".tex")


def why(document: Document) -> str | None:
    """Say what a file seems to be and what would be read; ``None`` where nothing is known of it."""
    head = document.head[:_LOOK]
    if not head.strip():
        return "is empty"
    for start, told in _STARTS:
        if head.startswith(start):
            return told
    text = head.decode("utf-8", "replace")
    for pattern, told in _COMPILED:
        if pattern.search(text):
            return told
    if (told_by_importers := _telemetry(document, head)) is not None:
        return told_by_importers
    if document.name.lower().endswith(_PROSE):
        return (
            "is a text, and no figure of training was found in it: texts are read in English, by labels "
            "(`Training tokens: 2T`), tables of two columns and sentences that say what was trained"
        )
    return None


def _telemetry(document: Document, head: bytes) -> str | None:
    """Ask the importers of telemetry, which know what other tools write."""
    from profilers.importers import Opened
    from profilers.importers.hints import hint

    return hint(Opened(path=document.path, size=document.size_bytes, head=head))
