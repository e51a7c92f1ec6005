"""What a file that nobody reads looks like, and how to record the same in a form that is read.

A refusal that names the tool and the cure is worth more than a list of formats. Nothing is read by
these rules, so they may be generous.
"""

import re
from collections.abc import Sequence

from profilers.importers.opened import Opened

_MAPPING = "give --mapping with what its columns mean"
_RULES: Sequence[tuple[str, str]] = (
    (
        r"=+NVSMI LOG=+|\| NVIDIA-SMI \d",
        "is nvidia-smi's page for people, one moment; record "
        "`nvidia-smi --query-gpu=timestamp,uuid,power.draw,utilization.gpu --format=csv -l 1`",
    ),
    (
        r"^#\s*gpu\s.*\bpid\b",
        "is `nvidia-smi pmon`: shares of processes, which do not add up to a device; record "
        "`nvidia-smi dmon -o DT`",
    ),
    (
        r"^\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:, [^,\n]{1,60}){0,60}, "
        r"\d{1,9}(?:\.\d{1,9})?(?: W| %| MiB| MHz)?\s*$",
        "has rows with stamps and no header (`--format=csv,noheader`), so nothing says what its columns "
        f"are; put the header above them, or {_MAPPING} (header = false)",
    ),
    (
        r"^\"?device\"?,.*(?:GPU use|Temperature \(Sensor|Power \(W\))|\"card\d+\"\s*:",
        "is rocm-smi's answer, which carries no time; record `amd-smi metric --csv --watch 1`",
    ),
    (
        r"^GPU\[\d{1,3}\]\s{0,4}: [A-Z][\w #%().-]{2,60}: ",
        "is rocm-smi's page, one moment without a time; record `amd-smi metric --csv --watch 1`",
    ),
    (
        r"\"(?:gfx_activity|socket_power)\"",
        "is amd-smi's JSON, which carries no time; record `amd-smi metric --csv --watch 1`",
    ),
    (
        r"\"query_time\"[^}]*\"gpus\"",
        "is gpustat's JSON; record nvidia-smi itself, which gpustat asks as well",
    ),
    (
        r'"device_name"\s*:[^}]*"(?:gpu_clock|power_draw)"',
        "is nvtop's snapshot, one moment without a time; record "
        "`nvidia-smi --query-gpu=timestamp,uuid,power.draw,utilization.gpu --format=csv -l 1`",
    ),
    (
        r'\A"?(?:Time|time)"?[,;]"?[^\n]*(?:\{[^\n]*=|DCGM_FI|GPU \d)',
        "is a table that Grafana exported: figures as its panel rounded them, thinned to its width; ask "
        f"Prometheus itself (http://host:9090 with --start --end --step), or {_MAPPING}",
    ),
    (r"cuda:\d+ \(gpu:\d+\)/", f"is nvitop's collector; {_MAPPING}, one device a mapping"),
    (r"\bnv_gpu_(?:utilization|power_usage)\b", "is Triton's page; record dcgm-exporter beside it"),
    (
        # The name of a metric has an underscore or labels, and its line ends with figures: no prose does.
        r"^(?:# (?:HELP|TYPE) |(?=[^ \n]*[_{])[a-zA-Z_:][a-zA-Z0-9_:]*(?<!:)(?:\{[^}\n]*\})?"
        r"(?: [-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|Inf|NaN)){1,2}\s*$)",
        "is Prometheus text without a metric of DCGM or nvidia_gpu_exporter; export the GPU's metrics, or "
        "ask the server itself (http://host:9090 with --start --end --step)",
    ),
    (r"^Time,\d\d-\d\d-\d{4} .*,Watts,", "is the log of a power meter (PTDaemon): node power; "
     "import MLPerf's own `:::MLLOG` power log"),
    (r"system[./]gpu\.\d+\.", "is an export of W&B's charts; import the run's `.wandb` file instead"),
    (
        r"\A1\d{9}(?:\.\d+)?,\d+(?:\.\d+)?(?:,\d+(?:\.\d+)?)*\r?\n1\d{9}(?:\.\d+)?,",
        "has rows of a Unix time and figures and no header, as Zeus' PowerMonitor wrote them (watts of "
        f"each GPU in order), but others do, too; put a header above them and {_MAPPING}",
    ),
    (r"\"resourceMetrics\"", "is OpenTelemetry's JSON; import the Prometheus side of the collector"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern, re.MULTILINE), told) for pattern, told in _RULES)
_LOOK = 16_384
_BINARY = 64
"""What is text for so many bytes was meant as text."""


def hint(opened: Opened) -> str | None:
    """Return what a file seems to be and what to do; None where nothing is known of it."""
    head = opened.head
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "is UTF-32 text; convert it to UTF-8 (`iconv -f utf-32`)"
    if head.startswith(b"PK\x03\x04"):
        return "is a zip archive; unpack it (`unzip`) and give the recordings in it"
    if head.startswith((b"BZh", b"\xfd7zXZ")):
        return "is compressed by bzip2 or xz; unpack it (`bunzip2 -k`, `unxz -k`) first"
    if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        return "is an archive within an archive; unpack it first"
    if head.startswith(b"PAR1"):
        return "is Parquet; write it as CSV and give --mapping"
    if b"\r" in head and b"\n" not in head:
        return "has lines that end in a carriage return alone; convert them (`tr '\\r' '\\n'`)"
    if b"\0" in head and head[:_BINARY].isascii() and b"\0" not in head[:_BINARY]:
        return (
            "begins as text and holds zero bytes later, as files do after a crash or a lost disk; keep "
            "what is before them (`tr -d '\\0'`)"
        )
    if b"\0" in head or sum(byte < 9 for byte in head[:4096]) > 8:
        return (
            "is binary, of no kind that is known here; where it is a remote-write or remote-read message of "
            "Prometheus, ask the server's range API instead: http://host:9090 with --start --end --step"
        )
    text = head[:_LOOK].decode("utf-8-sig", errors="replace")
    return next((told for pattern, told in _COMPILED if pattern.search(text)), None)
