"""Facts: values read from evidence, each with the place it was read at.

Conflicting facts are kept side by side; nothing here averages or prefers. What the audited party's
software *computed* (a FLOP total, an MFU) is graded ``CLAIM``: it is rederived, never averaged in.

``NAMES`` lists the canonical names, so that readers and methods speak of the same things. A
reader may add others; the audit lists them all.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Grade(StrEnum):
    """What kind of source a value comes from, strongest first."""

    INSTRUMENT = "instrument"  #: a cumulative hardware counter
    GAUGE = "gauge"  #: a sampled sensor
    LOG = "log"  #: written by the run as it went
    STATEMENT = "statement"  #: said by somebody: a case file, a model card, a paper
    CLAIM = "claim"  #: computed by the audited party's software; to be rederived


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One value as one place of the evidence gives it."""

    name: str  #: canonical name, see the module's table
    value: float | int | str | bool
    unit: str | None  #: ``None`` for words
    file: str  #: path as the case names it
    locator: str  #: line ("line 12"), key ("$.log_history[3].loss") or cell ("row 4, column power")
    grade: Grade

    @property
    def place(self) -> str:
        """Where to look it up."""
        return f"{self.file}: {self.locator}"


Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something an auditor must know, in one sentence that names figures and places."""

    code: str  #: kebab-case, documented in docs/findings.md
    severity: Severity
    message: str
    evidence: tuple[str, ...] = ()  #: places: "file: locator"


#: Canonical name -> (unit, meaning). Units are converted once, by the reader.
NAMES: dict[str, tuple[str | None, str]] = {
    "accelerator": (None, "the part, as the source spells it"),
    "accelerator_count": ("devices", "devices that worked on the run"),
    "accelerator_seconds": ("s", "device-seconds of the timed window"),
    "accelerator_seconds_at_least": (
        "s",
        "device-seconds of a part of what was held: a lower bound",
    ),
    "staged_accelerator_seconds": (
        "s",
        "device-seconds of stages that had unlike numbers of devices, added up",
    ),
    "tokens_at_least": ("tokens", "a lower end of the tokens: more than, or a figure with a plus"),
    "tokens_of_passes_at_most": (
        "tokens",
        "tokens x passes of a text that does not tell whether its tokens hold all passes",
    ),
    "experts": (None, "a text calls the model a mixture of experts"),
    "passes": ("epochs", "passes over the data, as a text states them"),
    "tuning_passes": ("epochs", "passes of what came after pre-training, as a text states them"),
    "timed_seconds": ("s", "wall clock of the timed window"),
    "wall_seconds": ("s", "wall clock of the whole job"),
    "started": ("unix s", "start of the timed window"),
    "ended": ("unix s", "end of the timed window"),
    "tokens": ("tokens", "tokens processed, all epochs"),
    "samples": ("samples", "sequences, images or clips processed, all epochs"),
    "tokens_per_sample": ("tokens", "sequence length of a sample"),
    "sequence_length": ("tokens", "training sequence length"),
    "sequence_limit": ("tokens", "longest sequence let in; samples may be shorter"),
    "steps": ("steps", "optimizer steps done"),
    "planned_steps": ("steps", "optimizer steps asked for"),
    "global_batch": ("samples", "samples an optimizer step"),
    "epochs": ("epochs", "passes over the data set"),
    "dataset_samples": ("samples", "size of the data set, which is not what was trained on"),
    "dataset_tokens": ("tokens", "size of the data set, which is not what was trained on"),
    "evaluation_samples": ("samples", "forward-only work inside the timed window"),
    "evaluation_tokens": ("tokens", "forward-only work inside the timed window"),
    "evaluation_seconds": ("s", "part of the timed window that was evaluation"),
    "seen_seconds": ("s", "from start to the last event of a log that breaks off"),
    "stamps_begin": ("s", "stamp of the first step that a log shows; its zone is unknown"),
    "log_opening": (None, "digest of a log's first steps as printed, where they have no stamps"),
    "recorded_from": ("unix s", "when the first recorded process began to train"),
    "recorded_until": ("unix s", "when a recorded process last did anything"),
    "events_begin": ("unix s", "first scalar of an event file"),
    "events_end": ("unix s", "last scalar of an event file"),
    "events_first_step": ("steps", "step of the first scalar of an event file"),
    "last_logged_step": ("steps", "highest step of an event file, in its program's own count"),
    "target_tokens": ("tokens", "tokens of the target alone, where a source was encoded besides"),
    "planned_epochs": ("epochs", "passes asked for"),
    "first_step": ("steps", "where a resumed run began; only what follows is this run's compute"),
    "per_process_batch": ("samples", "samples a forward pass of one process"),
    "micro_batch": (
        "samples",
        "samples a forward pass of one replica, which may be several devices",
    ),
    "final_global_batch": ("samples", "samples an optimizer step at the end of a batch that grew"),
    "loop_batch": (
        "samples",
        "what a loop of one's own calls its batch: a process's, as far as known",
    ),
    "gradient_accumulation": ("passes", "forward passes an optimizer step"),
    "world_size": ("ranks", "processes that trained"),
    "visible_accelerators": ("devices", "what a host inventory lists; the run may have used fewer"),
    "host_accelerators": ("devices", "what one of a run's hosts has; how many hosts is not said"),
    "nodes": ("nodes", "machines"),
    "accelerators_per_node": ("devices", "devices of one machine"),
    "accelerator_memory_bytes": ("bytes", "memory of one device"),
    "benchmark": (None, "the MLPerf benchmark"),
    "platform": (None, "what a submission calls its machine; often counts nodes"),
    "system": (None, "name of the machine"),
    "hardware_notes": (None, "power caps and the like, in the submitter's words"),
    "base_model": (None, "the model that was trained further, as a file names it"),
    "model_type": (None, "family, as a configuration names it"),
    "kind": (None, "kind of run, in a case file's words"),
    "adapter_rank": ("ranks", "rank of a LoRA adapter"),
    "lost_steps": ("steps", "steps done again after a restart: compute spent but not kept"),
    "skipped_steps": ("steps", "steps whose update was skipped; their compute was spent"),
    "precision": (None, "of the matrix units: bf16, fp8 ..."),
    "attention_mask": (None, "blocks: thinned out by blocks or windows that are not known"),
    "recompute": (None, "none, selective or full"),
    "model": (None, "the model, as the source names it"),
    "parameters": ("parameters", "all of them, tied ones once"),
    "trainable_parameters": ("parameters", "those that receive gradients"),
    "energy_joules": ("J", "measured energy; the fact energy_boundary says of what"),
    "energy_boundary": (None, "device, node or rack"),
    "status": (None, "how the run ended, in the log's own word"),
    "recorded_model_flop": ("FLOP", "counted by this tool's recorder while the run went"),
    "recorded_hardware_flop": ("FLOP", "the same with recomputation and steps done again"),
    "recorded_flop_at_least": (
        "FLOP",
        "the part of it that is certain, where something is unknown",
    ),
    "evaluation_flop": ("FLOP", "forward passes beside training, counted by the recorder"),
    "claimed_flop": ("FLOP", "a total that the audited software states"),
    "claimed_flop_per_second_per_accelerator": ("FLOP/s", "a rate that it states"),
    "claimed_mfu": ("1", "a utilisation that it states, as a fraction"),
    "claimed_hfu": ("1", "a hardware utilisation that it states, as a fraction"),
    "tokens_per_second_per_accelerator": ("tokens/s", "a throughput that the log printed"),
    "implied_peak_flop_per_second": ("FLOP/s", "printed rate / printed utilisation"),
    "implied_flop_per_token": ("FLOP/token", "printed rate / printed throughput"),
    "implied_memory_bytes": ("bytes", "printed memory / printed share of it"),
}
