"""Makes of a count of what a mixture's class executes the count of what its router asks for.

Two kinds of class need it. Some send every token through every expert and multiply the result by zero
(Llama 4): no trainer of such a model executes that, and the routed work is what its mathematics needs.
Some route to experts without weights, too (LongCat): how many with weights a token passes is data, which
a trace has not, so the count takes the most and bounds say how little it may be.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from flopcount.conventions import state
from flopcount.count import MODEL_PHASES, Convention, Entry, FlopCount, Phase
from flopcount.findings import Finding
from flopcount.ledger import INVENTED
from flopcount.model_files.parameters import expert_modules, experts_per_token

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The step that was counted, as far as experts need it."""

    model: Any
    config: Mapping[str, Any]
    inputs: dict[str, Any]
    backward: bool
    convention: str
    source: object  #: what a finding names

    @property
    def tokens(self) -> tuple[int, ...]:
        """Tokens of the step; of both sides of a pair, the encoder's first."""
        found = []
        for name in ("input_ids", "decoder_input_ids"):
            shape = getattr(self.inputs.get(name), "shape", None)
            if shape is not None:
                found.append(prod(shape))
        if not found and (shape := getattr(self.inputs.get("inputs_embeds"), "shape", None)):
            found.append(prod(shape[:-1]))
        return tuple(found)


def as_routed(count: FlopCount, asked: Asked) -> tuple[FlopCount, list[Finding]]:
    """Give the count of what a router asks for, with what was changed.

    ``torch`` states what that counter would say of the class, and is left alone.
    """
    chosen = experts_per_token(asked.config)
    unasked = count.method == "closed-form" or asked.convention == "torch"
    if chosen is None or unasked or not asked.tokens:
        return count, []
    dense = _dense(count)
    if (routed := _without_idle(dense, asked, chosen)) is not None:
        changed, finding = routed
    elif (bounded := _with_empty(dense, asked, chosen)) is not None:
        changed, finding = bounded
    else:
        return count, []
    stated = state(
        changed, asked.convention, asked.model, (), asked.inputs, backward=asked.backward
    )
    return stated, [finding]


def _dense(count: FlopCount) -> FlopCount:
    """Undo a convention: the ledger is the same, and so is what is known of its ends."""
    total = count.forward + count.backward
    bounds = count.flop_bounds
    if bounds is not None:
        low, high = bounds
        move = total - count.total
        bounds = low + move, None if high is None else high + move
    return replace(count, total=total, convention=Convention(), explained=(), flop_bounds=bounds)


def _without_idle(count: FlopCount, asked: Asked, chosen: int) -> tuple[FlopCount, Finding] | None:
    """Leave out what experts compute of tokens that nobody sent them; ``None`` where they route."""
    modules = list(expert_modules(asked.model))
    groups = {name: number for name, _, number in modules}
    forward = _forward_of(count, groups)
    if not modules or not all(
        _computes_all(forward[name], stored, number, chosen, asked.tokens)
        for name, stored, number in modules
    ):
        return None
    number = max(groups.values())
    entries = tuple(
        entry if (name := _inside(entry, groups)) is None else _share(entry, chosen, groups[name])
        for entry in count.entries
    )
    changed = _restated(count, entries)
    idle = count.total - changed.total
    message = (
        f"the library's class sends every token through all {number} experts of a layer, of which "
        f"{chosen} count; the {idle:,} FLOP of tokens that no router sends to an expert are left "
        "out: executed by this class, and by no trainer that routes (--convention torch has them)"
    )
    return changed, Finding(
        code="experts-all-computed",
        severity="info",
        message=message,
        evidence=(str(asked.source),),
    )


def _forward_of(count: FlopCount, groups: Mapping[str, int]) -> dict[str, int]:
    """FLOP of each group of experts in the forward pass."""
    sums = dict.fromkeys(groups, 0)
    for entry in count.entries:
        if entry.phase == "forward" and (name := _inside(entry, groups)) is not None:
            sums[name] += entry.flop
    return sums


def _computes_all(
    forward: int, stored: int, number: int, chosen: int, sides: tuple[int, ...]
) -> bool:
    """Whether a group's FLOP are those of every token through every expert.

    A stored weight costs 2 FLOP a row of its own expert. Where all compute, each expert has as many rows
    as there are tokens; where a router sends them, the mean expert has tokens x chosen / number. Which
    side's tokens a group reads is not asked: what is nearest decides, and for a tie the router. Biases
    count among the stored weights and multiply nothing, so the rows come out a little low.
    """
    if chosen >= number:
        return False
    rows = forward / (2 * stored)
    routed = min(abs(rows - tokens * chosen / number) for tokens in sides)
    everything, tokens = min((abs(rows - tokens), tokens) for tokens in sides)
    return everything < routed and everything < tokens / 10


def _with_empty(count: FlopCount, asked: Asked, chosen: int) -> tuple[FlopCount, Finding] | None:
    """Count every choice as one of an expert with weights; a bound tells of the fewest."""
    groups = list(_beside_empty(asked.model))
    if not groups:
        return None
    names = {name: empty for name, _, empty in groups}
    dtypes = [entry.dtype for entry in count.entries if _inside(entry, names) is not None]
    dtypes += [entry.dtype for entry in count.entries]
    entries = [entry for entry in count.entries if _inside(entry, names) is None]
    most = fewest = 0
    phases: tuple[tuple[Phase, int], ...] = (("forward", 1), ("backward", 2))
    for name, weights, empty in groups:
        for phase, passes in phases if asked.backward else phases[:1]:
            each = 2 * passes * weights * asked.tokens[0]
            entries.append(_line(name, phase, dtypes[0], each * chosen))
            most += each * chosen
            fewest += each * max(0, chosen - empty)
    # What the ladder said of its inventions was about the lines that are replaced here.
    notes = tuple(note for note in count.notes if not note.startswith(INVENTED))
    changed = replace(_restated(count, tuple(entries)), notes=notes)
    low, high = changed.flop_bounds or (changed.total, changed.total)
    low -= most - fewest
    message = (
        f"of the experts that a router chooses from, {max(names.values())} have no weights, and how many "
        f"with weights a token passes is data: the count takes all {chosen} choices for such with "
        f"weights, and is at least {low:,} FLOP"
    )
    bounded = replace(changed, flop_bounds=(low, high))
    return bounded, Finding(
        code="routing-unknown", severity="warning", message=message, evidence=(str(asked.source),)
    )


def without_loops(model: Any, config: Mapping[str, Any]) -> None:
    """Let experts compute every choice at once, instead of one hit expert after another.

    A loop asks which experts were hit, which tensors without values cannot say; the real ones are far too
    large for the processor. Each choice is a row through the weights of some expert: one stands for all.
    The library's experts that can do so themselves are left as they are.
    """
    chosen = experts_per_token(config)
    if chosen is None:
        return
    loops = {name for name, _, _ in _beside_empty(model)}
    for name, module in model.named_modules():
        if not all(hasattr(module, part) for part in ("gate_up_proj", "down_proj", "act_fn")):
            continue
        if name in loops or _loops_alone(module):
            module.forward = partial(_every_choice, module, chosen)


def _loops_alone(module: Any) -> bool:
    """Whether experts of one tensor each way, (experts, 2 inner, hidden) and back, only know their loop."""
    up, down = module.gate_up_proj, module.down_proj
    if getattr(up, "ndim", 0) != 3 or getattr(down, "ndim", 0) != 3:
        return False
    experts, inner, hidden = up.shape[0], up.shape[1] // 2, up.shape[2]
    stored = [one for one in module.parameters() if one is not up and one is not down]
    takes = list(inspect.signature(module.forward).parameters)
    return (
        tuple(down.shape) == (experts, hidden, inner)
        and not stored
        and takes == ["hidden_states", "top_k_index", "top_k_weights"]
        and not hasattr(module, "is_transposed")  # what the library's interface of experts leaves
    )


def _every_choice(module: Any, chosen: int, hidden: Any, _index: Any, weights: Any) -> Any:
    from torch.nn.functional import linear

    rows = hidden.repeat_interleave(chosen, dim=0)
    gate, up = linear(rows, module.gate_up_proj[0]).chunk(2, dim=-1)
    out = linear(module.act_fn(gate) * up, module.down_proj[0]) * weights.reshape(-1, 1)
    return out.view(-1, chosen, hidden.shape[-1]).sum(dim=1).to(hidden.dtype)


def _beside_empty(model: Any) -> Iterator[tuple[str, int, int]]:
    """Yield (module's name, weights of one expert, number of experts without weights)."""
    for name, module in model.named_modules():
        empty = getattr(module, "zero_expert_num", None)
        weights = [one for one in module.parameters(recurse=False) if one.ndim == 3]
        if type(empty) is int and empty > 0 and weights:
            yield name, sum(one[0].numel() for one in weights), empty


def _inside(entry: Entry, names: Mapping[str, int]) -> str | None:
    """Give the group of experts that a line lies in."""
    path = entry.module
    while path not in names:
        path, dot, _ = path.rpartition(".")
        if not dot:
            return path if path in names else None
    return path


def _share(entry: Entry, chosen: int, number: int) -> Entry:
    flop = entry.flop * chosen // number
    masked = entry.masked * chosen // number
    return replace(entry, flop=flop, masked=masked, idle=entry.flop - flop)


def _line(module: str, phase: Phase, dtype: str, flop: int) -> Entry:
    return Entry(
        module=module, op="aten.mm", dtype=dtype, phase=phase, calls=0, flop=flop, masked=flop
    )


def _restated(count: FlopCount, entries: tuple[Entry, ...]) -> FlopCount:
    """The same count of other lines; what was open of it stays open by as much."""
    sums = {"forward": 0, "backward": 0, "recompute": 0, "optimizer": 0}
    for entry in entries:
        sums[entry.phase] += entry.flop
    total = sums["forward"] + sums["backward"]
    model = [entry for entry in entries if entry.phase in MODEL_PHASES]
    # What depended on invented routing alone has no bound: the lines that did are replaced.
    bounds = count.flop_bounds if count.uncounted else None
    if bounds is not None:
        low, high = bounds
        move = total - count.total
        bounds = low + move, None if high is None else high + move
    return replace(
        count,
        forward=sums["forward"],
        backward=sums["backward"],
        recompute=sums["recompute"],
        total=total,
        masked_total=sum(entry.masked for entry in model),
        entries=entries,
        flop_bounds=bounds,
    )
