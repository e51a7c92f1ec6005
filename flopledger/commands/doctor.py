"""``flopledger doctor``: what can be read on this machine, and what the missing rest costs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flopledger.commands._options import AsJson


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("doctor", short_help="What can be read on this machine, and what the rest costs")(
        doctor
    )


def doctor(
    *,
    as_json: AsJson = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Measure call latency, energy counter against power, known matrix products.",
        ),
    ] = False,
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=1, max=600, help="How long each check of --calibrate lasts."),
    ] = 10.0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.json", help="Keep the answer, as evidence of a case."),
    ] = None,
    dcgm: Annotated[
        str | None, typer.Option("--dcgm", metavar="URL", help="A dcgm-exporter to ask, too.")
    ] = None,
) -> int:
    """Say what can be read here, by which library, with which right, and what is missing.

    Example: flopledger doctor --calibrate --out calibration.json
    """
    import json

    from flopledger.commands._waiting import waiting

    if dcgm is not None:
        from flopledger.profiling.run import check_address

        check_address(dcgm, f"--dcgm {dcgm}")
    with waiting("measuring" if calibrate else "asking the instruments"):
        answer = _examine(dcgm, seconds if calibrate else None)
    if out is not None:
        from flopledger.errors import FlopledgerError

        try:
            out.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise FlopledgerError(f"{out}: cannot be written ({error.strerror})") from error
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        _print(answer)
    return 0


def _examine(dcgm: str | None, seconds: float | None) -> dict[str, Any]:
    """Ask every instrument in a process of its own: a driver that hangs must not hang us."""
    found: dict[str, Any] = {
        "schema": "flopledger/doctor/1",
        "host": _host(),
        "calibrated": seconds is not None,
        "sources": [],
    }
    for name in ("nvml", "dcgm", "amd", "cpu"):
        options = {"url": dcgm} if name == "dcgm" and dcgm else {}
        found["sources"].append(_source(name, options, seconds))
    if seconds is not None:
        found["products"] = _products(found["sources"][0], seconds)
    return found


def _source(name: str, options: dict[str, Any], seconds: float | None) -> dict[str, Any]:
    """Ask one instrument; one that does not answer in order is one that did not open."""
    request = {"name": name, "options": options, "seconds": seconds}
    try:
        return _ask("profilers.examine", request, _PATIENCE + 2 * (seconds or 0))
    except _UnansweredError as error:
        return {
            "name": name,
            "open": False,
            "reason": error.reason,
            "detail": error.detail,
            "devices": [],
        }


_PATIENCE = 30.0
"""Seconds that a driver may take to answer everything once."""


def _products(nvml: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Multiply known matrices, where there is a device to do it."""
    if not nvml["open"]:
        return {"tried": False, "reason": f"NVML: {nvml['detail']}", "checks": []}
    try:
        # Six precisions, the start of CUDA, and products that a small part takes long for.
        return _ask("flopledger.profiling.known_products", {"seconds": seconds}, 120 + 12 * seconds)
    except _UnansweredError as error:
        return {"tried": False, "reason": error.detail, "checks": []}


class _UnansweredError(Exception):
    """A process that was asked and did not answer in order."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def _ask(module: str, request: dict[str, Any], patience: float) -> dict[str, Any]:
    """Run one of our modules as a process and return the JSON that it prints."""
    import json
    import subprocess

    from profilers.probe_process import spawn

    process = spawn(
        module,
        json.dumps(request),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        answer, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        detail = f"the library did not answer within {patience:.0f} s"
        raise _UnansweredError("timed_out", detail) from error
    try:
        # The last line: a user's own sitecustomize may print before.
        told: dict[str, Any] = json.loads(b"".join(answer.splitlines()[-1:]))
    except ValueError as error:
        detail = f"the library ended its process ({_end(process.returncode)})"
        raise _UnansweredError("failed", detail) from error
    return told


def _end(code: int) -> str:
    import signal

    return f"code {code}" if code >= 0 else f"{signal.Signals(-code).name}, code {code}"


_STUCK = frozenset({"timed_out", "failed", "forbidden", "lost"})
"""Reasons that say nothing about what is in the machine."""


def _host() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    from flopledger.profiling.manifest import host
    from profilers.permissions import permissions

    answer = {**host(), "permissions": permissions()}
    for package in ("nvidia-ml-py", "pyarrow", "torch", "amdsmi"):
        try:
            answer[package] = version(package)
        except PackageNotFoundError:
            answer[package] = None
    return answer


def _print(answer: dict[str, Any]) -> None:
    from rich.console import Console

    from flopledger.unseen import visible
    from profilers.permissions import sentence

    out = Console(highlight=False)

    def say(text: str) -> None:
        out.print(visible(text), soft_wrap=True, markup=False)

    host = answer["host"]
    say(f"{host['name']}: {host['system']}, {host['cpu'] or 'unknown CPU'} x {host['cpu_count']}")
    versions = [f"{n} {host[n] or 'not installed'}" for n in ("nvidia-ml-py", "amdsmi", "torch")]
    say(f"  {', '.join(versions)}")
    say(f"  {sentence(host['permissions'])}")
    for source in answer["sources"]:
        for line in _source_lines(source):
            say(line)
    for line in _product_lines(answer.get("products")):
        say(line)
    gpus = [source for source in answer["sources"] if source["name"] != "cpu"]
    if any(source["open"] for source in gpus):
        return
    stuck = [s["name"] for s in gpus if s["reason"] in _STUCK]
    if stuck:
        say(
            f"Whether there is a GPU is not known: {' and '.join(stuck)} did not answer in order. Look at "
            "the driver (`nvidia-smi`, the kernel's log) and ask again."
        )
        return
    say("No GPU can be read here: only recorded evidence can be audited on this machine.")
    if answer["calibrated"]:
        say("Nothing was calibrated.")


def _source_lines(source: dict[str, Any]) -> list[str]:
    """Say what one instrument gives; devices that give the same are said once."""
    if not source["open"]:
        lines = [f"{source['name']}: {source['reason']} - {source['detail']}"]
        mend = _MENDS.get((source["name"], source["reason"]))
        return [*lines, f"  to mend: {mend}"] if mend else lines
    latency, devices = source["sweep"], source["devices"]
    library = f" ({source['library']})" if source.get("library") else ""
    lines = [
        f"{source['name']}{library}: {_count(len(devices), 'device')}, "
        f"a sweep takes {latency['median_ms']:.1f} ms (worst {latency['worst_ms']:.1f} ms)"
    ]
    alike: dict[str, list[dict[str, Any]]] = {}
    for device in devices:
        alike.setdefault(repr((device["name"], device["signals"], device["missing"])), []).append(
            device
        )
    for group in alike.values():
        lines += _device_lines(group)
    return lines


_MENDS = {
    ("nvml", "absent"): "install NVIDIA's driver and load it (`nvidia-smi` must answer); in a "
    "container, start it with the GPUs (`--gpus all`) and the capability `utility`",
    ("nvml", "forbidden"): "ask as a user who may open /dev/nvidiactl and /dev/nvidia*, or as root",
    (
        "nvml",
        "timed_out",
    ): "the driver hangs: look at the kernel's log; a reset or a boot is needed",
    ("nvml", "failed"): "the driver and its library may not fit: install both from one package",
    ("nvml", "lost"): "reset the device or boot the host; the kernel's log has an XID",
    ("dcgm", "absent"): "only where a dcgm-exporter runs; name it with --dcgm URL",
}
"""What brings an instrument that did not open."""


def _device_lines(group: list[dict[str, Any]]) -> list[str]:
    """Say what devices that are alike give, and what each missing signal costs."""
    one = group[0]
    name, missing = one["name"] or "device", one["missing"]
    keys = " ".join(device["key"] for device in group)
    many = f"{len(group)} x {name}" if len(group) > 1 else f"{name} {keys}"
    if one["readable"] == 0:
        why = missing[0] if missing else {"reason": "unknown", "detail": "", "mend": ""}
        lines = [f"  {many}: nothing can be read - {why['reason']}: {why['detail']}"]
        lines.append(
            "    its time counts as unseen: no FLOP, no energy, no busy time is known of it"
        )
        missing = []
        if why["mend"]:
            lines.append(f"    to mend: {why['mend']}")
    else:
        lines = [f"  {many}: {_count(one['readable'], 'signal')}"]
    if len(group) > 1:
        lines.append(f"    {keys}")
    for gone in missing:
        lines.append(f"    no {gone['signal']} ({_why(gone)}): {gone['cost']}")
        if gone["mend"]:
            lines.append(f"      to mend: {gone['mend']}")
    return [
        *lines,
        *(f"    {_energy_text(d['energy'])}" for d in group if d.get("energy") is not None),
    ]


def _why(gone: dict[str, Any]) -> str:
    """Return the reason, with the library's own words where they say more."""
    plain = gone["reason"] in {"unsupported", "mig"} or not gone["detail"]
    return gone["reason"] if plain else f"{gone['reason']}: {gone['detail']}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _energy_text(energy: dict[str, Any]) -> str:
    counter, power = energy["counter_watts"], energy["power_watts"]
    if counter is None or power is None:
        return "energy counter against power: cannot be compared"
    update = energy["update_ms"]
    return (
        f"energy counter {counter:.1f} W, power readings {power:.1f} W "
        f"({counter / power - 1:+.1%}); the counter moves every {update:.0f} ms"
    )


def _product_lines(products: dict[str, Any] | None) -> list[str]:
    """Say how the known products lie to their bounds; nothing where none were asked for."""
    if products is None:
        return []
    if not products["tried"]:
        return [f"known matrix products: not tried ({products['reason']})"]
    return [
        f"known matrix products on {products['device']}:",
        *(f"  {check['precision']}: {_product_text(check)}" for check in products["checks"]),
    ]


def _product_text(check: dict[str, Any]) -> str:
    if check["inside"] is None:
        return f"not possible ({check['reason']})"
    from flopledger.text import number

    low, high = check["bounds"]["low"], check["bounds"]["high"]
    allowed = f"{number(low)} to {number(high)}" if high is not None else f"at least {number(low)}"
    verdict = "inside" if check["inside"] else f"{check['off']:.2g} times off"
    return f"{number(check['flop'], 4)} FLOP done, {allowed} by the instruments: {verdict}"
