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
        typer.Option("--calibrate", help="Measure call latency and energy counter against power."),
    ] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=600, help="How long to watch with --calibrate.")
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
    import json
    import subprocess

    from profilers.probe_process import spawn

    found: dict[str, Any] = {
        "schema": "flopledger/doctor/1",
        "host": _host(),
        "calibrated": seconds is not None,
        "sources": [],
    }
    for name in ("nvml", "dcgm", "amd", "cpu"):
        options = {"url": dcgm} if name == "dcgm" and dcgm else {}
        process = spawn(
            "profilers.examine",
            json.dumps({"name": name, "options": options, "seconds": seconds}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        patience = 30 + 2 * (seconds or 0)
        try:
            answer, _ = process.communicate(timeout=patience)
            found["sources"].append(json.loads(answer))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            found["sources"].append(
                _failed(name, "timed_out", f"the library did not answer within {patience:.0f} s")
            )
        except ValueError:
            detail = f"the library ended its process (code {process.returncode})"
            found["sources"].append(_failed(name, "failed", detail))
    return found


_STUCK = frozenset({"timed_out", "failed", "forbidden", "lost"})
"""Reasons that say nothing about what is in the machine."""


def _failed(name: str, reason: str, detail: str) -> dict[str, Any]:
    return {"name": name, "open": False, "reason": reason, "detail": detail, "devices": []}


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
