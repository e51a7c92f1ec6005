"""The values of a count. No torch: a count can be read, stored and compared anywhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Phase = Literal["forward", "backward", "recompute", "optimizer"]
MODEL_PHASES = ("forward", "backward")
"""Phases of which model FLOP consist."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Convention:
    """What is inside a figure and what is not.

    Attributes:
        name: The convention's or preset's name, as the command line spells it.
        multiply_add: FLOP of one multiply-accumulate; always 2.
        causal_attention: ``full`` (every query-key pair), ``masked`` (only the pairs that the mask
            allows), ``half`` (S²/2, the rule of thumb) or ``none`` (attention left out).
        recompute: ``excluded`` or ``included``.
        elementwise: ``excluded``; elementwise work is listed apart.
        embeddings: ``excluded``: a lookup multiplies nothing.
        source: ``trace`` or the citation of the rule that was reproduced.

    """

    name: str = "dense"
    multiply_add: int = 2
    causal_attention: str = "full"
    recompute: str = "excluded"
    elementwise: str = "excluded"
    embeddings: str = "excluded"
    source: str = "trace"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the ledger: all calls of one op, dtype and phase in one module.

    Attributes:
        module: Path of the module instance that ran the op; empty for the model itself.
        op: The op's name without overload, e.g. ``aten.mm``.
        dtype: Short name of the dtype that entered the matrix unit, e.g. ``bf16``.
        phase: ``forward``, ``backward``, ``recompute`` or ``optimizer``.
        calls: How often it ran.
        flop: Model FLOP with dense attention.
        attention: The part of ``flop`` in attention's score and value products.
        masked: ``flop`` with only the allowed query-key pairs counted.
        rescored: FLOP that a fused backward kernel repeats (flash attention's scores); outside
            ``flop``.
        torch: What ``torch.utils.flop_counter`` charges for the same calls.
        idle: FLOP that the class executes for tokens which no router sends to an expert; outside
            of ``flop``.

    """

    module: str
    op: str
    dtype: str
    phase: Phase
    calls: int
    flop: int
    attention: int = 0
    masked: int
    rescored: int = 0
    torch: int = 0
    idle: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Uncounted:
    """An op that ran and that no rule covers.

    Attributes:
        op: The op's name.
        calls: How often it ran.
        shapes: Distinct ``inputs -> outputs`` shape texts, in order of first sight.
        upper_bound: One multiply-add for every pair of an input and an output element, summed
            over the calls (FLOP): no op that uses each input element at most once an output
            element can cost more. None where a shape is unknown.
        reason: Why there is no formula, where that is known.

    """

    op: str
    calls: int
    shapes: tuple[str, ...]
    upper_bound: int | None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Which executed ops were understood.

    Attributes:
        counted_ops: Calls that a formula counted.
        zero_by_rule: Calls that multiply no matrices, with a stated reason; None for a closed
            form, which has no calls.
        unknown: Names of the ops that no rule covers.
        unknown_calls: How often those ran.
        zero_reasons: Calls by reason.

    """

    counted_ops: int
    zero_by_rule: int | None
    unknown: tuple[str, ...]
    unknown_calls: int = 0
    zero_reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Executed calls that are understood, 0 to 1."""
        known = self.counted_ops + (self.zero_by_rule or 0)
        everything = known + self.unknown_calls
        return known / everything if everything else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One step of an explanation: ``flop`` is added to the figure so far, for ``reason``."""

    name: str
    flop: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RankCount:
    """What one rank computes locally (FLOP).

    Attributes:
        forward: Local forward.
        backward: Local backward.
        recompute: Local recomputation.
        world_size: Ranks that share the model.
        replicated: What ranks repeat on the same data, all ranks together: the global figure is
            ``world_size`` times the local one less this.

    """

    forward: int
    backward: int
    recompute: int
    world_size: int
    replicated: int = 0

    @property
    def total(self) -> int:
        """Local forward and backward."""
        return self.forward + self.backward


@dataclass(frozen=True, kw_only=True, slots=True)
class Experts:
    """Rows that went through the experts of a mixture.

    Attributes:
        products: Grouped products seen in the forward pass.
        rows: Rows multiplied in them, all layers and projections together.
        padded: Rows of their inputs that lie in no expert's group.
        exact: True where the rows were read from real routing or follow from it (every choice of
            a top-k goes to an expert); False where they depend on data that the trace had not:
            ``rows`` is then the most there can be, and ``flop_bounds`` of the count says what that
            comes to.
        rows_low: The fewest rows there can be; equal to ``rows`` where that is exact.

    """

    products: int
    rows: int
    padded: int
    exact: bool
    rows_low: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FlopCount:
    """The FLOP of one training step, or of one forward pass. Exact whole numbers.

    Attributes:
        forward: Forward pass (model FLOP under ``convention``).
        backward: Backward pass, only gradients that somebody needs (model FLOP).
        recompute: Work that activation checkpointing does again.
        total: The figure of ``convention``; for ``dense`` it is ``forward + backward``.
        attention_flop: The part of the dense ``forward + backward`` in score and value products.
        masked_total: ``forward + backward`` with masked query-key pairs left out.
        rescored: What fused attention kernels compute a second time in their backward.
        elementwise: Arithmetic on single elements, forward and backward; never in ``total``;
            None for a closed form, which does not know it.
        entries: The ledger from which every view is derived.
        uncounted: Ops that no rule covers, named.
        coverage: How much of what ran is understood.
        flop_bounds: ``(low, high)`` of ``total`` when something is unknown, else None. ``high`` is
            None when no bound can be given.
        convention: What ``total`` includes.
        explained: From the dense figure to ``total``, term by term.
        per_rank: Local figures under tensor, pipeline or expert parallelism, else None.
        experts: Mixture-of-experts rows, None without grouped products.
        method: The rung that traced: ``meta``, ``fake``, ``cpu``, ``cpu-scaled`` or
            ``closed-form``.
        notes: What the reader should know, e.g. why a rung was left.
        optimizer: FLOP of one optimizer step, when asked for, else None.

    """

    forward: int
    backward: int
    recompute: int
    total: int
    attention_flop: int
    masked_total: int
    rescored: int
    elementwise: int | None
    entries: tuple[Entry, ...]
    uncounted: tuple[Uncounted, ...]
    coverage: Coverage
    flop_bounds: tuple[int, int | None] | None
    convention: Convention
    explained: tuple[Term, ...] = ()
    per_rank: RankCount | None = None
    experts: Experts | None = None
    method: str = "meta"
    notes: tuple[str, ...] = ()
    optimizer: int | None = None

    @property
    def hardware_total(self) -> int:
        """Forward, backward and recomputation: what the machine executes for the model."""
        return self.forward + self.backward + self.recompute

    @property
    def by_op(self) -> Mapping[str, int]:
        """Model FLOP by op, the largest first; sums to ``forward + backward``."""
        return self._grouped(lambda entry: entry.op)

    @property
    def by_dtype(self) -> Mapping[str, int]:
        """Model FLOP by dtype, the largest first; sums to ``forward + backward``."""
        return self._grouped(lambda entry: entry.dtype)

    @property
    def by_phase(self) -> Mapping[str, int]:
        """FLOP by phase, recomputation included."""
        return MappingProxyType(
            {"forward": self.forward, "backward": self.backward, "recompute": self.recompute}
        )

    @property
    def by_module(self) -> Mapping[str, int]:
        """Model FLOP by module path, each with all that it contains; ``""`` is the whole model."""
        sums: dict[str, int] = defaultdict(int)
        for entry in self.entries:
            if entry.phase not in MODEL_PHASES or not entry.flop:
                continue
            for path in _ancestors(entry.module):
                sums[path] += entry.flop
        return MappingProxyType(dict(sorted(sums.items())))

    def _grouped(self, key: Callable[[Entry], str]) -> Mapping[str, int]:
        sums: dict[str, int] = defaultdict(int)
        for entry in self.entries:
            if entry.phase in MODEL_PHASES and entry.flop:
                sums[key(entry)] += entry.flop
        return MappingProxyType(dict(sorted(sums.items(), key=lambda item: (-item[1], item[0]))))


def _ancestors(path: str) -> Iterable[str]:
    """Yield ``path`` and every module that contains it, up to the model itself."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""
