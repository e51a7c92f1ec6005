"""The value that every method yields, and the draws that tie methods to shared inputs."""

import math
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from flopledger.inputs import Input
from flopledger.quantity import Interval, Quantity

if TYPE_CHECKING:
    import numpy as np

    from flopledger.methods.priors import Prior
    from flopledger.quantity import Samples

Method = Literal["counted", "closed-form", "device-time", "tensor-activity", "energy"]
Basis = Literal["model", "hardware"]
LEVEL = 0.9  #: of every interval that is printed
DRAWS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ComputeEstimate:
    """FLOP of one run by one route.

    ``draws`` is the Monte Carlo sample behind ``flop``, ``None`` where the route yields a bound.
    Estimates of one ``independence_group`` share an origin and never confirm one another.
    """

    method: Method
    run: str
    basis: Basis
    flop: Interval
    bound_only: bool
    independence_group: str
    inputs: tuple[Input, ...]
    assumptions: tuple[str, ...]
    draws: "Samples | None" = field(default=None, repr=False)
    #: whether a prior over other runs stands in for this run's utilisation: such a route tests the
    #: others and is no evidence about this run
    from_prior: bool = False
    #: log variance that each input contributes, for the sensitivity table
    log_variance: tuple[tuple[str, float], ...] = ()
    #: False where it is of what was recorded, and nothing shows that this is the whole run: it cuts
    #: nothing off and refutes nobody
    is_whole_run: bool = True
    #: what tells it from another route of the same method: what was counted, and how
    detail: str = ""

    @property
    def title(self) -> str:
        """The route's name for readers."""
        return f"{self.method} ({self.detail})" if self.detail else self.method

    @property
    def is_firm_bound(self) -> bool:
        """Whether it is a bound of the whole run."""
        return self.bound_only and self.is_whole_run


class Draws:
    """Seeded draws: the same key gives the same sample to every method, in any order.

    Two quantities under one key (an amount in tokens and in samples of another length) share the random
    numbers and not the figure.
    """

    def __init__(self, seed: int, count: int = DRAWS) -> None:
        self.seed = seed
        self.count = count
        self._known: dict[tuple[str, Quantity | Prior], Samples] = {}

    def of(self, key: str, quantity: "Quantity | Prior") -> "Samples":
        """Draw (once) from ``quantity`` under ``key``."""
        known = self._known.get((key, quantity))
        if known is None:
            known = self._known[key, quantity] = quantity.sample(self.generator(key), self.count)
        return known

    def generator(self, key: str) -> "np.random.Generator":
        """Give the random stream that belongs to ``key``."""
        import numpy as np

        return np.random.default_rng([self.seed, zlib.crc32(key.encode())])


def summarize(draws: "Samples", best: float | None = None) -> Interval:
    """Give the central 90% of a sample; ``best`` is its median unless said otherwise."""
    low, middle, high = quantiles(draws, (0.05, 0.5, 0.95))
    chosen = middle if best is None else best
    return Interval(low=min(low, chosen), best=chosen, high=max(high, chosen))


def quantiles(draws: "Samples", levels: tuple[float, ...]) -> list[float]:
    """Give quantiles by linear interpolation between order statistics.

    The same figures as ``numpy.quantile``, which would load masked arrays (a twentieth of a whole
    audit) to get there.
    """
    import numpy as np

    places = [level * (len(draws) - 1) for level in levels]
    wanted = sorted({end for place in places for end in (math.floor(place), math.ceil(place))})
    ordered = np.partition(draws, wanted)
    return [
        float(
            ordered[math.floor(place)]
            + (place - math.floor(place)) * (ordered[math.ceil(place)] - ordered[math.floor(place)])
        )
        for place in places
    ]


def log_variances(parts: "dict[str, Samples]") -> tuple[tuple[str, float], ...]:
    """Give the variance of the logarithm of each factor of a product."""
    import numpy as np

    return tuple((name, float(np.var(np.log(sample)))) for name, sample in parts.items())
