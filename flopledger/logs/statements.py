"""Prose among the evidence: when somebody's words fill what no document of the run gives.

What a text says is used only where nothing better speaks of the same thing, and only where it says one
thing: of several different figures none is taken. Labels ("Training tokens: 3T") outrank sentences,
which may be about a checkpoint or somebody else's model.
"""

import re
from dataclasses import replace

from flopledger.facts import Fact, Finding, Grade
from flopledger.logs.evidence import Evidence
from flopledger.text import number

_PREFIX = "said_"
#: Where the reader of prose says that a figure stands.
_PROSE_PLACE = re.compile(r"line \d+, (?:label|sentence)(?: \d+)?")
#: What else, if the evidence has it, speaks of the same thing and silences the text.
_SILENCED_BY = {
    "experts": ("model_type",),
    "tokens": ("tokens", "samples", "steps", "epochs", "benchmark"),
    "wall_seconds": ("timed_seconds", "wall_seconds", "accelerator_seconds", "started"),
    "accelerator_seconds": ("timed_seconds", "wall_seconds", "accelerator_seconds", "started"),
    "tokens_at_least": ("tokens", "samples", "steps", "epochs", "benchmark"),
    "accelerator_seconds_at_least": (
        "timed_seconds",
        "wall_seconds",
        "accelerator_seconds",
        "started",
    ),
    "accelerator": ("accelerator",),
    "accelerator_count": ("accelerator_count", "world_size", "visible_accelerators"),
    "parameters": ("parameters", "parameters_of_shard", "model_type", "benchmark"),
    "sequence_length": ("sequence_length", "tokens_per_sample", "sequence_limit"),
    "tokens_per_second_per_accelerator": ("tokens_per_second_per_accelerator",),
    "precision": ("precision",),
    "claimed_flop": ("claimed_flop",),
    "energy_joules": ("energy_joules",),
    "claimed_flop_per_second_per_accelerator": ("claimed_flop_per_second_per_accelerator",),
    "claimed_mfu": ("claimed_mfu",),
    "claimed_hfu": ("claimed_hfu",),
}
#: Lower ends, and the figure that a text may give instead.
_LOWER_ENDS = {
    "tokens_at_least": "tokens",
    "accelerator_seconds_at_least": "accelerator_seconds",
}
#: Amounts and times; in the card of a model that was trained further they may be the original's.
_OF_THE_BASE = frozenset(
    {"tokens_at_least", "accelerator_seconds_at_least"}
    | {"tokens", "wall_seconds", "accelerator_seconds", "accelerator_count", "accelerator"}
    | {"tokens_per_second_per_accelerator", "claimed_flop", "claimed_mfu", "claimed_hfu"}
    | {"energy_joules", "claimed_flop_per_second_per_accelerator"}
)


def promote(evidence: Evidence) -> tuple[Evidence, list[Finding]]:
    """Give the evidence with what texts say under its canonical name, where it may be used."""
    said = [fact for fact in evidence.facts if fact.name.startswith(_PREFIX)]
    if not said:
        return evidence, []
    everything, said = said, _without_lower_ends(said)
    others = {fact.name for fact in evidence.facts if not fact.name.startswith(_PREFIX)}
    used: list[Fact] = []
    findings: list[Finding] = []
    open_names = {
        name: facts
        for name, silencing in _SILENCED_BY.items()
        if (facts := [fact for fact in said if fact.name == _PREFIX + name])
        and not others & set(silencing)
    }
    chosen_of = {name: _one_figure(facts) for name, facts in open_names.items()}
    disputed = {
        fact.place
        for name, facts in open_names.items()
        if chosen_of[name] is None and len({one.place for one in facts}) > 1
        for fact in facts
        if "sentence" in fact.locator
    }
    for name, facts in open_names.items():
        chosen = chosen_of[name]
        if chosen is None:
            findings.append(_several(name, facts))
        elif chosen.place in disputed and not _elsewhere(chosen, facts, disputed):
            findings.append(_beside_disputed(name, chosen))
        elif name in _OF_THE_BASE and "base_model" in others:
            findings.append(_perhaps_of_the_base(name, chosen))
        else:
            used.append(replace(chosen, name=name))
    passes, of_passes = _passes(everything, others)
    used = _with_both_readings(used, everything, passes)
    findings += of_passes + _data_set(everything, used) + _hours_of_others(everything, used)
    if used:
        findings.append(_words(used))
    sizes = _data_sets_size(everything, others)
    return replace(evidence, facts=(*evidence.facts, *used, *passes, *sizes)), findings


#: Over the data, and in what came after pre-training: the run's kind tells which of them are its own.
_PASSES = ("passes", "tuning_passes")


def _passes(said: list[Fact], others: set[str]) -> tuple[list[Fact], list[Finding]]:
    """Take the passes that the text is of one mind about; a log's own epochs silence it."""
    used: list[Fact] = []
    findings: list[Finding] = []
    for name in _PASSES if "epochs" not in others else ():
        facts = [fact for fact in said if fact.name == _PREFIX + name]
        chosen = _one_figure(facts)
        if chosen is not None:
            used.append(replace(chosen, name=name))
        elif facts:
            findings.append(replace(_several(name, facts), severity="info"))
    return used, findings


def _with_both_readings(used: list[Fact], said: list[Fact], passes: list[Fact]) -> list[Fact]:
    """Keep both readings of tokens beside passes: those of one pass, and those of all of them.

    Unless the words settle it ("a total of", "4T tokens, 4 epochs of 1T"): then there is one.
    """
    upper = {fact.place: fact for fact in said if fact.name == f"{_PREFIX}tokens_of_passes_at_most"}
    settled = [fact for fact in said if fact.name == f"{_PREFIX}tokens_of_all_passes"]
    times = next((float(fact.value) for fact in passes if fact.name == "passes"), None)
    found: list[Fact] = []
    for fact in used:
        most = upper.get(fact.place) if fact.name == "tokens_at_least" else None
        if most is not None:
            found += [fact, replace(most, name="tokens_of_passes_at_most")]
        elif fact.name == "tokens" and times and not any(_agree([fact, one]) for one in settled):
            most = replace(fact, name="tokens_of_passes_at_most", value=float(fact.value) * times)
            found += [replace(fact, name="tokens_at_least"), most]
        else:
            found.append(fact)
    return found


def _data_sets_size(said: list[Fact], others: set[str]) -> list[Fact]:
    sizes = [fact for fact in said if fact.name == f"{_PREFIX}dataset_tokens"]
    chosen = _one_figure(sizes) if "dataset_tokens" not in others else None
    return [] if chosen is None else [replace(chosen, name="dataset_tokens")]


def _without_lower_ends(said: list[Fact]) -> list[Fact]:
    """Settle where a text gives an amount ("15.6T") and says of another that it is more ("over 15T").

    The exact figure speaks where it is the larger one; of equal ones the words "more than" tell how the other
    was rounded. A smaller one contradicts them: then there are several figures, and none is used.
    """
    settled = [fact for fact in said if fact.name == f"{_PREFIX}tokens_of_all_passes"]
    of_passes = {fact.place for fact in said if fact.name == f"{_PREFIX}tokens_of_passes_at_most"}
    for name, exact in _LOWER_ENDS.items():
        ends = [fact for fact in said if fact.name == _PREFIX + name]
        if settled and _agree(settled):
            # Said elsewhere to be all passes: the sentence that left it open asks nothing.
            said = [fact for fact in said if not (fact in ends and fact.place in of_passes)]
            ends = [fact for fact in ends if fact in said]
        figures = [fact for fact in said if fact.name == _PREFIX + exact]
        if not ends or not figures:
            continue
        most = max(float(fact.value) for fact in ends)
        if all(float(fact.value) > 1.005 * most for fact in figures):
            dropped = ends
        elif _agree([*figures, *ends]):
            dropped = figures
        else:
            said = [replace(fact, name=_PREFIX + exact) if fact in ends else fact for fact in said]
            continue
        said = [fact for fact in said if fact not in dropped]
    return said


def is_of_prose(fact: Fact) -> bool:
    """Say whether a fact was read from a text's sentence or label, and not from a document's key."""
    return fact.grade is Grade.STATEMENT and _PROSE_PLACE.fullmatch(fact.locator) is not None


def _one_figure(facts: list[Fact]) -> Fact | None:
    """Take the one figure that the labels give, else the one of the sentences; ``None`` of several."""
    for mark in ("label", "sentence"):
        group = [fact for fact in facts if f", {mark}" in fact.locator]
        if group:
            return group[0] if _agree(group) else None
    return None


def _elsewhere(chosen: Fact, facts: list[Fact], disputed: set[str]) -> bool:
    """Say whether the same figure stands in a sentence that no other one contradicts."""
    return any(
        fact.place not in disputed and _agree([chosen, fact])
        for fact in facts
        if fact is not chosen
    )


def _beside_disputed(name: str, fact: Fact) -> Finding:
    """Leave out what stands in one sentence with a figure that another sentence contradicts.

    The two may be of two models or stages, and a sentence's figures belong together.
    """
    return Finding(
        code="prose-ambiguous",
        severity="warning",
        message=f"the text gives {name} as {_shown(fact)} in a sentence of which another figure is "
        "contradicted elsewhere: it may be of another model or stage and is not used",
        evidence=(fact.place,),
    )


def _agree(group: list[Fact]) -> bool:
    first = group[0].value
    if isinstance(first, str):
        # "A100" and "A100-80GB" are one part, said less and more exactly; the longest name speaks.
        longest = max(group, key=lambda fact: len(str(fact.value)))
        group[0] = longest
        return all(_within(str(fact.value), str(longest.value)) for fact in group)
    return all(abs(float(fact.value) / float(first) - 1) < 0.02 for fact in group)


def _within(one: str, other: str) -> bool:
    short, long = (_letters(one), _letters(other))
    return short in long


def _letters(name: str) -> str:
    return "".join(one for one in name.lower() if one.isalnum())


def _several(name: str, facts: list[Fact]) -> Finding:
    shown = ", ".join(dict.fromkeys(_shown(fact) for fact in facts[:6]))
    return Finding(
        code="prose-ambiguous",
        severity="warning",
        message=f"the text gives several figures of {name} ({shown}): none is used; state in the case "
        "which one is this run's",
        evidence=tuple(fact.place for fact in facts[:6]),
    )


def _perhaps_of_the_base(name: str, fact: Fact) -> Finding:
    return Finding(
        code="prose-ambiguous",
        severity="warning",
        message=f"the text gives {name} as {_shown(fact)}, and its model was trained further from "
        "another: the figure may be the original's and is not used",
        evidence=(fact.place,),
    )


def _data_set(said: list[Fact], used: list[Fact]) -> list[Finding]:
    """Name the size of a data set where it is the only word on tokens."""
    sizes = [fact for fact in said if fact.name == "said_dataset_tokens"]
    if not sizes or any(fact.name in ("tokens", "tokens_at_least") for fact in used):
        return []
    message = (
        f"the text gives {_shown(sizes[0])} tokens as the size of the training data, not as what was "
        "trained on: passes over it may be several, or a part of one; it is not used"
    )
    return [
        Finding(
            code="dataset-size-not-trained",
            severity="info",
            message=message,
            evidence=(sizes[0].place,),
        )
    ]


#: Hours of something else than devices, and what is not known of it.
_OTHER_HOURS = {
    "said_node_seconds": ("node-hours", "how many devices a node has"),
    "said_core_seconds": ("core-hours", "how many cores a device has"),
}


def _hours_of_others(said: list[Fact], used: list[Fact]) -> list[Finding]:
    """Name hours of nodes and of cores where nothing tells how many of them make a device."""
    findings: list[Finding] = []
    if any(fact.name.startswith("accelerator_seconds") for fact in used):
        return []
    for name, (unit, unknown) in _OTHER_HOURS.items():
        facts = [fact for fact in said if fact.name == name]
        if not facts:
            continue
        message = (
            f"the text gives {number(float(facts[0].value) / 3600)} {unit} and not {unknown}: they are not "
            "used; state accelerator_hours in the case"
        )
        places = tuple(fact.place for fact in facts[:6])
        findings.append(
            Finding(code="prose-ambiguous", severity="warning", message=message, evidence=places)
        )
    return findings


def _words(used: list[Fact]) -> Finding:
    shown = ", ".join(
        _shown(fact) if fact.name == "experts" else f"{fact.name} {_shown(fact)}" for fact in used
    )
    return Finding(
        code="prose-used",
        severity="info",
        message=f"read from a text, in somebody's words and rounded as people round: {shown}",
        evidence=tuple(fact.place for fact in used),
    )


def _shown(fact: Fact) -> str:
    return str(fact.value) if isinstance(fact.value, str) else number(float(fact.value))
