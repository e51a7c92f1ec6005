"""Priors for what a disclosure leaves out, fitted by ``benchmarks/fit_priors.py``.

A prior is an assumption about a run in general, never evidence about this run; every estimate that
leans on one says so.
"""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from flopledger.quantity import Z90, Interval
from flopledger.text import number

if TYPE_CHECKING:
    import numpy as np

    from flopledger.quantity import Samples


@dataclass(frozen=True, kw_only=True, slots=True)
class Prior:
    """A lognormal fitted on ``n`` published runs."""

    name: str
    median: float
    sigma: float  #: standard deviation of the logarithm about the median
    n: int  #: runs behind the median
    freedom: int  #: degrees of freedom behind sigma, which classes of parts may share
    as_of: str  #: date of the disclosures
    floor: float = 0.0  #: the predictive sigma is never below this

    @property
    def predictive_sigma(self) -> float:
        """Spread for one new run: that of the runs, plus that of their mean."""
        return max(self.sigma * math.sqrt(1 + 1 / self.n), self.floor)

    @property
    def interval(self) -> Interval:
        """The central 90% of the normal approximation, for display."""
        factor = math.exp(Z90 * self.predictive_sigma)
        return Interval(low=self.median / factor, best=self.median, high=self.median * factor)

    def sample(self, generator: "np.random.Generator", count: int) -> "Samples":
        """Draw from the Student-t predictive distribution."""
        import numpy as np

        draws = generator.standard_t(max(self.freedom, 1), count)
        return self.median * np.exp(self.predictive_sigma * np.clip(draws, -8, 8))

    def describe(self) -> str:
        """Say in one line what is assumed and how thin the ice is."""
        ends = self.interval
        return (
            f"{self.name}: median {number(self.median)}, 90% {number(ends.low)} to {number(ends.high)} "
            f"(fitted on {self.n} published runs, {self.as_of})"
        )


#: Published runs lie within so many standard deviations of the median (in the logarithm): all of them
#: in their own class, and 30 of 31 where a run is left out of the fit that it is held against.
_BAND = 2.0
#: Mixtures of experts reach lower than the dense models that the priors were fitted on: routing and
#: the exchange of tokens cost time and no FLOP. Nothing about them lets a run reach higher.
_EXPERTS_SIGMA = 0.50


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """Utilisations that published runs reached at 16 bit, and of which parts those runs were."""

    low: float
    high: float
    runs_on: str


def band(architecture: str | None, *, experts: bool) -> Band:
    """Give the utilisations of published runs on one class of part.

    For a class that no run was published of, those of every class together: what no run has reached
    anywhere is worth a question there, too.
    """
    table, own = _table()["utilisation"], _class_of(architecture)
    names = [name for name in table if name != "other"] if own == "other" else [own]
    ends = [_ends(table[name], experts=experts) for name in names]
    return Band(
        low=min(low for low, _ in ends),
        high=max(high for _, high in ends),
        runs_on="any class of part" if own == "other" else "this class of part",
    )


def _ends(entry: dict[str, Any], *, experts: bool) -> tuple[float, float]:
    """Lowest and highest utilisation of one class."""
    sigma = entry["sigma"]
    below = max(sigma, _EXPERTS_SIGMA) if experts else sigma
    return entry["median"] / math.exp(_BAND * below), entry["median"] * math.exp(_BAND * sigma)


#: How an architecture key of the hardware database begins -> class of the fit.
_CLASSES = (("ampere_ga100", "ampere-datacentre"), ("hopper", "hopper"), ("tpu", "tpu"))
#: Hours alone say little about a run: no utilisation prior is narrower than this (ln).
_UTILISATION_FLOOR = 0.30


def of_images() -> Prior:
    """Utilisation of runs that train on images, whatever the part: convolutions stay far below text."""
    return _prior("utilisation of runs on images", _images()["utilisation"])


def utilisation(architecture: str | None) -> Prior:
    """Whole-run model FLOP utilisation for one hardware architecture, downtime included."""
    name = _class_of(architecture)
    return _prior(f"whole-run utilisation ({name})", _table()["utilisation"][name])


def _class_of(architecture: str | None) -> str:
    key = (architecture or "").lower()
    return next((group for start, group in _CLASSES if key.startswith(start)), "other")


def goodput_ratio() -> Prior:
    """Billed device time x disclosed MFU over the work done: above 1, since MFU is steady state."""
    return _prior("billed hours x steady-state MFU over work done", _table()["goodput_ratio"], 0.0)


def _prior(name: str, entry: dict[str, Any], floor: float = _UTILISATION_FLOOR) -> Prior:
    return Prior(
        name=name,
        median=entry["median"],
        sigma=entry["sigma"],
        n=entry["n"],
        freedom=entry.get("freedom", entry["n"] - 1),
        as_of=entry["as_of"],
        floor=floor,
    )


@cache
def _images() -> dict[str, Any]:
    return tomllib.loads((files("flopledger.methods") / "data" / "images.toml").read_text("utf-8"))


@cache
def _table() -> dict[str, Any]:
    text = (files("flopledger.methods") / "data" / "priors.toml").read_text("utf-8")
    return tomllib.loads(text)
