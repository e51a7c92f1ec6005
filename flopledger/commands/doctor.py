"""``flopledger doctor``: what can be read on this machine, and what the missing rest costs."""

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("doctor", short_help="What can be read on this machine, and what the rest costs")(
        doctor
    )


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False,
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
        request = {"name": name, "options": options, "seconds": seconds}
        try:
            told = _ask("profilers.examine", request, 30 + 2 * (seconds or 0))
        except _UnansweredError as error:
            told = {"name": name, "open": False, "reason": error.reason, "detail": error.detail}
            told["devices"] = []
        found["sources"].append(told)
    if seconds is not None:
        found["products"] = _products(found["sources"][0], seconds)
    return found


def _products(nvml: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Multiply known matrices, where there is a device to do it."""
    if not nvml["open"]:
        return {"tried": False, "reason": f"NVML: {nvml['detail']}", "checks": []}
    try:
        # Six precisions, the start of CUDA, and products that a small part takes long for.
        return _ask("flopledger.known_products", {"seconds": seconds}, 120 + 12 * seconds)
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
        told: dict[str, Any] = json.loads(answer)
    except ValueError as error:
        detail = f"the library ended its process (code {process.returncode})"
        raise _UnansweredError("failed", detail) from error
    return told


_STUCK = frozenset({"timed_out", "failed", "forbidden", "lost"})
"""Reasons that say nothing about what is in the machine."""


def _host() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    from flopledger.run_manifest import host

    answer = host()
    for package in ("nvidia-ml-py", "pyarrow", "torch", "amdsmi"):
        try:
            answer[package] = version(package)
        except PackageNotFoundError:
            answer[package] = None
    return answer


def _print(answer: dict[str, Any]) -> None:
    from rich.console import Console

    out = Console(highlight=False)

    def say(text: str) -> None:
        out.print(text, soft_wrap=True, markup=False)

    host = answer["host"]
    say(f"{host['name']}: {host['system']}, {host['cpu'] or 'unknown CPU'} x {host['cpu_count']}")
    versions = [f"{n} {host[n] or 'not installed'}" for n in ("nvidia-ml-py", "amdsmi", "torch")]
    say(f"  {', '.join(versions)}")
    for source in answer["sources"]:
        if not source["open"]:
            say(f"{source['name']}: {source['reason']} - {source['detail']}")
            continue
        latency = source["sweep"]
        say(
            f"{source['name']}: {len(source['devices'])} devices, "
            f"a sweep takes {latency['median_ms']:.1f} ms (worst {latency['worst_ms']:.1f} ms)"
        )
        for device in source["devices"]:
            say(f"  {device['name'] or 'device'} {device['key']}: {device['readable']} signals")
            for missing in device["missing"]:
                say(f"    no {missing['signal']} ({missing['reason']}): {missing['cost']}")
            if (energy := device.get("energy")) is not None:
                say(f"    {_energy_text(energy)}")
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
