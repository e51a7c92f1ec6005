"""Ledgers as training processes write them, with clocks that a test sets."""

from pathlib import Path
from unittest import mock

from profilers.clocks import ClockPair
from profilers.steps.record.ledger import StepLedger

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
"""Unix nanoseconds at which the first process starts."""


def process(
    run: Path,
    *,
    at: float = 0.0,
    up: float | None = None,
    first: int = 1,
    steps: int = 10,
    rank: int = 0,
    world: int = 1,
    flop: tuple[int, int, int] | None = (100, 200, 0),
    share: tuple[int, int] = (1, 1),
    bounds: tuple[int, int | None] | None = None,
    model: str = "GPT",
    tokens: int | None = 64,
    samples: int | None = 4,
    resume: int | None = None,
    seal: str | None = "finished",
    evaluate: int = 0,
    step_us: int = 100_000,
    wait_us: int = 10_000,
    block: int = 4,
    node: str = "node",
    pid: int = 100,
    device: tuple[str, str | None] | None = None,
    named: str | None = None,
    saved: tuple[tuple[int, str, str | None], ...] = (),
    loaded: tuple[str, str | None, str] | None = None,
) -> Path:
    """Write one process's ledger; it starts ``at`` seconds and does ``steps`` equal steps.

    ``up``: seconds of the monotonic clock at its start; by default it agrees with the clock on the wall.
    """
    up = max(0.0, 5.0 + at) if up is None else up
    clock = ClockPair(monotonic_ns=round(up * SECOND), wall_ns=START + round(at * SECOND))
    with (
        mock.patch("profilers.steps.record.ledger.ClockPair.now", return_value=clock),
        mock.patch("os.getpid", return_value=pid),
    ):
        ledger = StepLedger.create(run, rank=rank, local_rank=rank, world_size=world, node=node)
    if resume is not None:
        ledger.resume(resume, "optimizer-state")
    if loaded is not None:
        ledger.loaded("SGD", *loaded)
    if device is not None:
        ledger.device(device[0], name=named, uuid=device[1])
    figures = (
        None if flop is None else dict(zip(("forward", "backward", "recompute"), flop, strict=True))
    )
    cost = ledger.cost(
        model=model,
        mode="train",
        inputs=["int64[4, 16]"],
        flop=figures,
        how="meta" if figures else "unknown",
        by_dtype={} if flop is None else {"fp32": flop[0] + flop[1]},
        recompute_by_dtype={} if flop is None else {"fp32": flop[2]},
        share=share,
        bounds=bounds,
        reason=None if figures else "the model raised",
    )
    ends = [round(up * 1e6) + (step_us + wait_us) * (n + 1) for n in range(steps)]
    for low in range(0, steps, block):
        many = len(ends[low : low + block])
        ledger.steps(
            first=first + low,
            end_us=ends[low : low + block],
            duration_us=[step_us] * many,
            wait_us=[wait_us] * many,
            optimizer=["AdamW"] * many,
            tokens=[tokens] * many,
            tokens_from=[None if tokens is None else "inputs"] * many,
            samples=[samples] * many,
            calls=[[(cost, 1)]] * many,
        )
    for number, layout, values in saved:
        ledger.saved(number, "SGD", layout, values)
    if evaluate:
        end = ends[-1] if ends else round(up * 1e6)
        forward = ledger.cost(
            model=model, mode="forward", inputs=["x"], how="meta",
            flop={"forward": 100, "backward": 0, "recompute": 0},
        )  # fmt: skip
        ledger.span("evaluation", start_us=end, end_us=end + 500_000, calls=[(forward, evaluate)])
    folder = ledger.folder
    if seal is None:
        ledger.close()
    else:
        ledger.seal(seal, steps)
    return folder
