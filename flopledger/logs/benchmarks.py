"""What an MLPerf benchmark trains: its unit of work and its reference shape, from a data file."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

Unit = Literal["tokens", "samples", "epochs"]

#: Spellings of older rounds.
_ALIASES = {"mask": "maskrcnn", "mask_rcnn": "maskrcnn", "resnet50": "resnet"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """One benchmark of the MLPerf Training rules."""

    name: str
    title: str
    unit: Unit  #: what its counter of trained work counts
    source: str
    kind: str | None = None  #: kind of run as in a case file, where it is not pre-training
    tokens_per_sample: int | None = None
    padded: bool = False  #: sequences are padded to their length, so tokens are an upper bound
    #: Size of the data set in its versions; some logs write batches an epoch in its place.
    dataset_samples: tuple[int, ...] = ()
    epochs_at_most: int = 1000  #: a counter of epochs above this counts something else
    parameters: float | None = None
    trainable_parameters: float | None = None  #: ``None``: all of them
    forward_flop_per_sample: float | None = None
    architecture: dict[str, int | str | bool] | None = None  #: keys as in a case file
    #: Logged ``eval_samples`` -> tokens of one evaluation, where the two are not proportional.
    evaluation_tokens: dict[int, int] = field(default_factory=dict)


@cache
def benchmarks() -> dict[str, Benchmark]:
    """Load the table."""
    text = Path(__file__).with_name("mlperf_benchmarks.toml").read_text("utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    table.pop("dated")
    return {name: _benchmark(name, entry) for name, entry in table.items()}


def benchmark(name: str) -> Benchmark | None:
    """Find a benchmark by the name that a log gives, or ``None``."""
    name = name.strip().lower().replace("-", "_")
    return benchmarks().get(_ALIASES.get(name, name))


def _benchmark(name: str, entry: dict[str, Any]) -> Benchmark:
    evaluation = {int(key): value for key, value in entry.pop("evaluation_tokens", {}).items()}
    sizes = tuple(entry.pop("dataset_samples", ()))
    return Benchmark(name=name, evaluation_tokens=evaluation, dataset_samples=sizes, **entry)
