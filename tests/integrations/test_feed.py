"""From ledger lines to metrics: totals over restarts, unknown costs, utilisation."""

import json
import platform
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

import flopledger
from flopledger.integrations import sinks
from flopledger.integrations.devices import Devices
from flopledger.integrations.feed import Feed, Following, totals_before
from profilers import Device, DeviceKey, Reason, Sample, Unavailable
from profilers.clocks import ClockPair
from profilers.journal import Journal
from profilers.steps.record.ledger import StepLedger

H100 = "NVIDIA H100 80GB HBM3"


def _ledger(run: Path, *, resume: int = 0, rank: int = 0) -> StepLedger:
    ledger = StepLedger.create(run, rank=rank)
    if resume:
        ledger.resume(resume)
    return ledger


def _cost(ledger: StepLedger, forward: int | None, **changes: Any) -> int:
    flop = {"forward": forward, "backward": 2 * forward, "recompute": forward} if forward else None
    usual = {
        "model": "Gpt", "mode": "train", "inputs": ["int64[2, 8]"], "how": "meta", "flop": flop,
        "by_dtype": {"bf16": 3 * forward} if forward else {},
    }  # fmt: skip
    return ledger.cost(**(usual | changes))  # type: ignore[arg-type]


def _steps(ledger: StepLedger, first: int, *calls: list[tuple[int, int]]) -> None:
    count = len(calls)
    now = time.monotonic_ns() // 1000
    ledger.steps(
        first=first,
        end_us=[now + 1000 * n for n in range(count)],
        duration_us=[900] * count,
        wait_us=[100] * count,
        optimizer=["AdamW"] * count,
        tokens=[16] * count,
        tokens_from=["inputs"] * count,
        samples=[2] * count,
        calls=calls,
    )


def _read(ledger: StepLedger) -> list[sinks.StepMetrics]:
    following = Following(totals_before(ledger.folder))
    lines = (ledger.folder / "ledger.jsonl").read_text().splitlines()
    return [metrics for line in lines for metrics in following.take(json.loads(line))]


def test_steps_of_one_process(tmp_path: Path) -> None:
    ledger = _ledger(tmp_path)
    ledger.device("cuda", name=H100)
    cost = _cost(ledger, 10**9)
    _steps(ledger, 1, [(cost, 2)], [(cost, 1)])
    first, second = _read(ledger)
    # 2 calls of 3e9 model FLOP and 4e9 hardware FLOP
    assert (first.model_flop, first.hardware_flop) == (6 * 10**9, 8 * 10**9)
    assert (second.total_model_flop, second.total_tokens) == (9 * 10**9, 32)
    # 6e9 FLOP in 1 ms are 6e12 FLOP/s, of 989.4e12
    assert first.mfu == pytest.approx(6e12 / 989.4e12, rel=1e-3)
    assert first.hfu == pytest.approx(8e12 / 989.4e12, rel=1e-3)
    assert first.model_flop_per_second == pytest.approx(6e12)
    assert abs(first.unix_seconds - time.time()) < 60


def test_a_model_on_two_devices(tmp_path: Path) -> None:
    ledger = _ledger(tmp_path)
    for index in range(2):
        ledger.device("cuda", name=H100, index=index)
    ledger.device("cpu")
    _steps(ledger, 1, [(_cost(ledger, 10**9), 2)])
    # 6e9 FLOP in 1 ms, of two times 989.4e12 FLOP/s
    (only,) = _read(ledger)
    assert only.mfu == pytest.approx(6e12 / (2 * 989.4e12), rel=1e-3)


def test_a_share_and_an_unknown_cost(tmp_path: Path) -> None:
    ledger = _ledger(tmp_path)
    ledger.device("cuda", name="Some GPU of the future")
    half = _cost(ledger, 10**9, share=(1, 2))
    unknown = _cost(ledger, None, reason="not traceable")
    _steps(ledger, 1, [(half, 1)], [(half, 1), (unknown, 1)], [(half, 1)])
    one, two, three = _read(ledger)
    assert one.model_flop == 3 * 10**9 // 2
    assert one.mfu is None
    # A part that nobody knows makes the step unknown, and every total after it: never less.
    assert two.model_flop is None
    assert three.model_flop == 3 * 10**9 // 2
    assert three.total_model_flop is None
    assert three.total_tokens == 48


def test_a_restart_continues(tmp_path: Path) -> None:
    before = _ledger(tmp_path)
    cost = _cost(before, 100)
    _steps(before, 1, *[[(cost, 1)]] * 5)
    before.close()
    other = _ledger(tmp_path, rank=1)
    _steps(other, 1, [(_cost(other, 10**6), 1)])
    time.sleep(0.002)
    after = _ledger(tmp_path, resume=3)
    cost = _cost(after, 100)
    _steps(after, 4, [(cost, 1)])
    (metrics,) = _read(after)
    assert metrics.step == 4
    # steps 1 to 3 and the new 4 stand; the old 4 and 5 were executed, too
    assert metrics.total_model_flop == 4 * 300
    assert metrics.total_hardware_flop == 6 * 400
    assert metrics.total_tokens == 4 * 16
    assert totals_before(before.folder).model_flop.value == Fraction(0)


def test_a_feed_follows_a_growing_file(tmp_path: Path) -> None:
    seen: list[int] = []

    class Listed:
        name = "listed"

        def emit(self, metrics: sinks.StepMetrics) -> None:
            seen.append(metrics.step)

        def close(self) -> None: ...

    feed = Feed(tmp_path, Listed(), since_ns=time.time_ns(), poll_seconds=0.05)
    ledger = _ledger(tmp_path)
    cost = _cost(ledger, 100)
    _steps(ledger, 1, [(cost, 1)])
    deadline = time.monotonic() + 20
    while feed.latest is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert feed.latest is not None
    assert feed.latest.step == 1
    path = ledger.folder / "ledger.jsonl"
    size = path.stat().st_size
    aside = path.rename(tmp_path / "aside")  # what comes now is written there, and not yet seen
    _steps(ledger, 2, [(cost, 1)])
    ledger.close()
    whole = aside.read_bytes()
    half = tmp_path / "half"
    half.write_bytes(whole[: size + 40])  # half a line, as a reader may meet it
    half.rename(path)
    time.sleep(0.2)
    aside.rename(path)
    (report,) = feed.close()
    assert report.complete
    assert seen == [1, 2]


def test_devices_of_this_node_ride_along(tmp_path: Path) -> None:
    second = 10**9
    anchor = ClockPair(monotonic_ns=100 * second, wall_ns=1_800_000_000 * second)
    gpu = DeviceKey(uuid="GPU-1")
    for node in (platform.node(), "elsewhere"):
        book = Journal.open(tmp_path, node=node, boot="b00tb00t-1", anchor=anchor)
        book.describe([Device(key=gpu, name=H100, node=node)])
        for at, power, energy in ((1, 300_000, 5_000), (2, 400_000, 5_350), (3, None, 5_750)):
            readings: dict[str, Any] = {"energy_mj": energy, "gpu_util_permille": 990}
            lost = Unavailable(reason=Reason.LOST)
            readings["power_mw"] = lost if power is None else power
            moment = {"monotonic_ns": (100 + at) * second, "wall_ns": anchor.wall_ns + at * second}
            book.sweep([Sample(device=gpu, period_ns=second, readings=readings, **moment)])
            if at == 1:
                book.rotate()
        book.seal("end")
    (device,) = Devices(tmp_path).now()
    assert (device.uuid, device.name) == ("GPU-1", H100)
    assert device.energy_joules == 0.75  # 5,750 mJ less 5,000 mJ, from another segment
    assert device.power_watts is None  # the last sweep had none: an old one would be a guess
    assert device.utilisation == 0.99
    assert device.memory_used_bytes is None
    assert Devices(tmp_path / "no-record").now() == ()


def test_a_ledger_that_makes_no_sense_stops_the_feed_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    feed = Feed(tmp_path, since_ns=time.time_ns(), poll_seconds=0.05)
    ledger = _ledger(tmp_path)
    ledger.close()
    with (ledger.folder / "ledger.jsonl").open("a") as file:
        file.write("no JSON\n")
    feed.close()
    assert "cannot be followed" in caplog.text


class _Kept:
    """A sink that keeps what it is handed."""

    name = "kept"

    def __init__(self) -> None:
        self.seen: list[sinks.StepMetrics] = []
        self.closed = False

    def emit(self, metrics: sinks.StepMetrics) -> None:
        self.seen.append(metrics)

    def close(self) -> None:
        self.closed = True


def _train(folder: Path, *given: Any) -> flopledger.recording.Recording:
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with flopledger.record(folder, model, sampler=False, sinks=given) as run:
        for _ in range(3):
            model(torch.ones(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    return run


@pytest.mark.trace
def test_a_plain_loop_s_steps_reach_its_sinks(tmp_path: Path) -> None:
    class Failing(_Kept):
        def emit(self, metrics: sinks.StepMetrics) -> None:
            raise OSError("the server is gone")

    kept, failing = _Kept(), Failing()
    run = _train(tmp_path, kept, failing)
    # Forward 2 x 2 x 8 x 4, and as much for the weights' gradient; the input needs none.
    assert [one.total_model_flop for one in kept.seen] == [256, 512, 768]
    assert (kept.closed, failing.closed) == (True, True)
    assert run.summary()["model_flop"] == 768
    whole, lost = run.delivered
    assert whole.complete
    assert (lost.delivered, lost.failed) == (0, 3)


@pytest.mark.trace
def test_only_the_first_process_hands_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    kept = _Kept()
    run = _train(tmp_path, kept)
    assert run.steps == 3
    assert kept.seen == []


@pytest.mark.parametrize("given", [sinks.StepMetrics, "wandb", ["wandb"], None, 7])
def test_what_is_no_sink_is_refused_at_once(given: Any, tmp_path: Path) -> None:
    with pytest.raises(flopledger.FlopledgerError, match="no sink; give a list"):
        flopledger.record(tmp_path, sinks=given)


def test_one_sink_needs_no_list(tmp_path: Path) -> None:
    flopledger.record(tmp_path, sinks=_Kept())  # type: ignore[arg-type]
