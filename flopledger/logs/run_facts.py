"""What one run's evidence comes to: each figure with the facts it rests on and those against it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from flopledger.facts import Fact, Finding

Bound = Literal["exact", "at least", "at most"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """One figure of a run, chosen from the evidence or computed from it."""

    value: float | int | str
    unit: str | None
    facts: tuple[Fact, ...]  #: what it rests on; several where it was computed
    derivation: str  #: why this one, or the arithmetic
    bound: Bound = "exact"  #: "at least" for a log that breaks off, "at most" for padded tokens
    most: float | None = None  #: the other end of a figure that is known at least
    #: whether it speaks for the whole run; a recording without the run's window may be a sample
    is_whole_run: bool = True
    alternatives: tuple[Fact, ...] = ()  #: facts of the same name that say otherwise

    @property
    def number(self) -> float:
        """The value of a figure that is a number."""
        if isinstance(self.value, str):
            raise TypeError(f"{self.value!r} is a word")
        return self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """How much the recordings of a run saw; what share of it that is, others must tell."""

    scope: str  #: device, node or rack
    devices: int  #: of that scope
    device_seconds: float  #: from first to last sample of each, inside the run's window
    files: tuple[str, ...]
    #: of the run's log, or of a watched command; ``None``: nobody says when the run was
    window_seconds: float | None = None
    is_watched: bool = False  #: a command was watched from its start to its end
    nodes_of_run: int | None = None  #: as the run's other evidence has it

    @property
    def seconds(self) -> float:
        """Mean length of what was recorded of a device."""
        return self.device_seconds / self.devices


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """The figures of one run that methods need. ``None``: the evidence does not give it."""

    tokens: Resolved | None = None  #: tokens processed, all epochs
    samples: Resolved | None = None  #: sequences, images or clips processed, all epochs
    tokens_per_sample: Resolved | None = None
    epochs: Resolved | None = None  #: passes over the data set
    passes: Resolved | None = None  #: the same, as a text states it: a question beside its tokens
    tuning_passes: Resolved | None = None  #: as a text states it of what came after pre-training
    dataset_tokens: Resolved | None = None  #: size of the data set, as a text states it
    dataset_samples: Resolved | None = None  #: size of the data set
    steps: Resolved | None = None  #: optimizer steps done
    first_step: Resolved | None = None  #: where a log of a later part begins
    global_batch: Resolved | None = None  #: samples an optimizer step
    timed_seconds: Resolved | None = None  #: wall clock of the timed part
    wall_seconds: Resolved | None = None  #: wall clock of the whole job
    accelerator: Resolved | None = None  #: as the source spells it
    accelerator_count: Resolved | None = None
    accelerator_seconds: Resolved | None = None
    precision: Resolved | None = None
    recompute: Resolved | None = None
    status: Resolved | None = None  #: the log's own word
    evaluation_tokens: Resolved | None = None  #: forward-only, inside the timed part
    evaluation_samples: Resolved | None = None
    parameters: Resolved | None = None
    trainable_parameters: Resolved | None = None
    claimed_flop: Resolved | None = None
    claimed_flop_per_second_per_accelerator: Resolved | None = None
    claimed_mfu: Resolved | None = None
    claimed_hfu: Resolved | None = None
    tokens_per_second_per_accelerator: Resolved | None = None
    implied_peak_flop_per_second: Resolved | None = None  #: printed rate / printed MFU
    implied_flop_per_token: Resolved | None = None  #: printed rate / printed throughput
    implied_memory_bytes: Resolved | None = None  #: printed memory / printed share
    implied_parameters: Resolved | None = None  #: claimed FLOP / (6 tokens)
    energy_joules: Resolved | None = None
    energy_boundary: Resolved | None = None
    repeated_recordings: tuple[str, ...] = ()  #: files that repeat rows of another one
    recorded: Recorded | None = None  #: extent of the telemetry that energy and time may come from
    attention_mask: Resolved | None = None  #: "blocks": thinned out by an amount that is not known
    recorded_model_flop: Resolved | None = None  #: counted by this tool while the run went
    recorded_hardware_flop: Resolved | None = None
    recorded_flop_at_least: Resolved | None = None
    evaluation_flop: Resolved | None = None
    model: Resolved | None = None
    experts: Resolved | None = None  #: where a text calls the model a mixture of them
    benchmark: Resolved | None = None
    kind: Resolved | None = None  #: kind of run, in a case file's words
    architecture: Mapping[str, int | str | bool] | None = None  #: keys as in a case file
    architecture_source: str | None = None  #: where the dimensions come from
    input: Mapping[str, int | tuple[int, ...]] | None = None  #: what one sample is, where not text
    forward_flop_per_sample: float | None = None  #: where no closed form applies
    config_file: str | None = None  #: name of the evidence's model configuration
    findings: tuple[Finding, ...] = field(default_factory=tuple)
