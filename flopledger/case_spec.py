"""The keys of a case file and the types of their values. Unknown keys are refused."""

from typing import Any, Literal, get_args

import msgspec

SCHEMA = "flopledger/case/1"

Basis = Literal["model", "hardware", "unknown"]
Kind = Literal[
    "pretraining", "continued", "finetuning", "lora", "distillation", "rl", "synthetic-data",
    "parent", "merged", "auxiliary", "evaluation", "failed",
]  # fmt: skip
Precision = Literal[
    "fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "fp6", "fp4", "int8", "int4"
]  # fmt: skip
Recompute = Literal["none", "selective", "full"]
Attention = Literal["causal", "full"]
Boundary = Literal["device", "node", "rack", "facility"]
KINDS: tuple[str, ...] = get_args(Kind)


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common ground: immutable, named fields, strangers refused."""


class NumberSpec(Table, frozen=True):
    """``{ value, relative }``, ``{ at_least }`` or ``{ at_most }``: the keys settle which."""

    value: float | None = None
    relative: float | None = None
    at_least: float | None = None
    at_most: float | None = None


#: A number as a case may state it: exact, ``[low, high]``, or a table.
Number = float | tuple[float, float] | NumberSpec


class ClaimSpec(Table, frozen=True):
    """What is said about the compute."""

    flop: Number
    basis: Basis = "unknown"
    statement: str | None = None
    source: str | None = None


class ModelSpec(Table, frozen=True):
    """One model: a config.json, or dimensions, or parameters alone (which allow 6ND only)."""

    config: str | None = None
    architecture: dict[str, Any] | None = None
    parameters: Number | None = None
    active_parameters: Number | None = None
    input: dict[str, Any] | None = None
    sources: dict[str, str] = {}


class RunSpec(Table, frozen=True):
    """One run: what was trained, how much, on what."""

    name: str
    kind: Kind | None = None  #: pretraining unless the evidence knows better
    model: str | None = None
    tokens: Number | None = None
    samples: Number | None = None
    tokens_per_sample: Number | None = None
    epochs: Number | None = None
    sequence_length: int | None = None
    precision: Precision | None = None
    recompute: Recompute | None = None
    attention: Attention | None = None
    accelerator: str | None = None
    accelerator_count: Number | None = None
    accelerator_hours: Number | None = None
    wall_clock_hours: Number | None = None
    mfu: Number | None = None
    hfu: Number | None = None
    tokens_per_second_per_accelerator: Number | None = None
    flop_per_second_per_accelerator: Number | None = None
    claimed_flop: Number | None = None
    energy_mwh: Number | None = None
    energy_boundary: Boundary | None = None  #: what was metered: devices, nodes, racks or the site
    pue: Number | None = None  #: the site's overhead, where the energy holds it
    cost_usd: Number | None = None  #: tested for being hours x price; enters no estimate
    trainable_parameters: Number | None = None
    synthetic_public: bool | None = None
    evidence: list[str] = []
    sources: dict[str, str] = {}


class BaseModelSpec(Table, frozen=True):
    """The compute of the original, for a modified model."""

    flop: Number | None = None
    systemic_risk: bool = False  #: decides the fallback of the one-third rule if flop is unknown
    source: str | None = None


class CaseSpec(Table, frozen=True):
    """The whole file."""

    schema: str
    title: str
    claim: ClaimSpec | None = None
    model: dict[str, ModelSpec] = {}
    run: list[RunSpec] = []
    base_model: BaseModelSpec | None = None
