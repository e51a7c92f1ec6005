"""The arguments that Megatron-LM prints before it trains: shape, batch, world, precision."""

import math
import re

from flopledger.logs.notes import Notes, line
from flopledger.logs.numbers import parse_count

_ARGUMENT = re.compile(
    r"^(?:\s{0,8}\[?default\d\]?:)?\s{0,8}([a-z_0-9]{2,60}) \.{2,80} (.{1,200}?)\s*$"
)
_WORLD = re.compile(r"using world size: (\d{1,7})")
_VOCABULARY = re.compile(r"padded vocab \(size: \d{1,9}\).{0,60}\(new size: (\d{1,9})\)")

#: Argument -> canonical name of a whole number.
_COUNTS = {
    "world_size": "world_size",
    "seq_length": "sequence_length",
    "global_batch_size": "global_batch",
    # Of a group of tensor and pipeline ranks, so no factor beside the world's size.
    "micro_batch_size": "micro_batch",
    "train_iters": "planned_steps",
    "num_layers": "architecture.layers",
    "hidden_size": "architecture.hidden",
    "num_attention_heads": "architecture.heads",
    "kv_channels": "architecture.head_dim",
    "ffn_hidden_size": "architecture.ffn",
    "padded_vocab_size": "architecture.vocabulary",
}
#: What a restart may change: the devices, and the length of its samples.
OF_A_STAGE = ("world_size", "seq_length")
#: Restarts whose settings are remembered; a log that has more is read as its first.
_KEPT_CHANGES = 1_000
#: Degrees whose product, with that of context, is the number of ranks.
_DEGREES = ("data_parallel_size", "tensor_model_parallel_size", "pipeline_model_parallel_size")


class Arguments:
    """Collects the dump; the same argument printed twice keeps its first place."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, int]] = {}
        #: Settings of a stage as a later launch printed them: (line, argument, value), in order.
        self.changes: list[tuple[int, str, int]] = []
        self.changed_lines: list[int] = []
        self.has_begun = (
            False  #: whether an iteration was printed: then the first settings are its own
        )

    def __bool__(self) -> bool:
        return bool(self._values)

    def take(self, number: int, text: str) -> None:
        """Look at one line."""
        if match := _ARGUMENT.match(text):
            self._keep(match[1], match[2], number)
            self._note_change(number, match[1], match[2])
        elif match := _WORLD.search(text):
            self._keep("world_size", match[1], number)
            self._note_change(number, "world_size", match[1])
        elif match := _VOCABULARY.search(text):
            self._values["padded_vocab_size"] = (match[1], number)

    def _keep(self, argument: str, value: str, number: int) -> None:
        """Keep the settings under which the first iterations ran: a launch above them did not get there."""
        before = self._values.get(argument)
        if before is None or (not self.has_begun and before[0] != value):
            self._values[argument] = (value, number)

    def _note_change(self, number: int, argument: str, text: str) -> None:
        """Remember a setting that a launch further down prints differently, and its first value."""
        value = parse_count(text) if argument in OF_A_STAGE else None
        if value is None:
            return
        before = next((one for _, name, one in reversed(self.changes) if name == argument), None)
        if value != before and len(self.changes) < _KEPT_CHANGES:
            self.changes.append((number, argument, value))
            self.changed_lines.append(number)

    def _is(self, name: str) -> bool:
        return self._values.get(name, ("", 0))[0] == "True"

    def note(self, notes: Notes) -> None:
        """Write down what a count needs; a mixture of experts is left to its configuration."""
        experts = parse_count(self._values.get("num_experts", ("", 0))[0])
        for argument, name in _COUNTS.items():
            if argument not in self._values or (experts and name.startswith("architecture.")):
                continue
            value, number = self._values[argument]
            notes.count(name, value, line(number))
        self._note_world(notes)
        for name in ("fp8", "bf16", "fp16"):
            value, number = self._values.get(name, ("", 0))
            if value not in ("", "False", "None"):
                notes.fact("precision", name, line(number))
                break
        granularity, number = self._values.get("recompute_granularity", ("", 0))
        if granularity in ("full", "selective"):
            notes.fact("recompute", granularity, line(number))
        elif self._is("checkpoint_activations"):  # its name until 2022: whole layers
            notes.fact("recompute", "full", line(self._values["checkpoint_activations"][1]))
        if "num_layers" in self._values and not experts:
            self._note_shape(notes)

    def _note_world(self, notes: Notes) -> None:
        """Multiply the degrees of parallelism, where no world size was printed; experts share ranks."""
        degrees = [self._values.get(name) for name in _DEGREES]
        if "world_size" in self._values or any(one is None for one in degrees):
            return
        context = self._values.get("context_parallel_size", ("1", 0))[0]
        sizes = [parse_count(text) for text in (*(one[0] for one in degrees if one), context)]
        if all(size for size in sizes):
            number = self._values[_DEGREES[0]][1]
            notes.fact("world_size", math.prod(size for size in sizes if size), line(number))

    def _note_shape(self, notes: Notes) -> None:
        number = self._values["num_layers"][1]
        notes.fact("architecture.kind", "decoder", line(number))
        matrices = 3 if self._is("swiglu") else 2
        notes.fact("architecture.ffn_matrices", matrices, line(number))
        groups = parse_count(self._values.get("num_query_groups", ("", 0))[0])
        if self._is("group_query_attention") and groups:
            place = line(self._values["num_query_groups"][1])
            notes.fact("architecture.kv_heads", groups, place)
        elif heads := parse_count(self._values.get("num_attention_heads", ("", 0))[0]):
            notes.fact("architecture.kv_heads", heads, line(number))
        untied = self._is("untie_embeddings_and_output_weights")
        notes.fact("architecture.tied_embeddings", not untied, line(number))
