"""Figures that one sentence gives as two factors: steps and tokens a step, node-hours and devices a node."""

import re

from flopledger.logs.readers.prose.numbers import NUMBER, SCALE, scaled
from flopledger.logs.readers.prose.parts import DEVICE, PART, Figure

_STEPS = re.compile(
    rf"{NUMBER}{SCALE}\s*(?:(?:training|optimi[sz]er|optimi[sz]ation|gradient|total|update)\s)?"
    r"(?:steps|iterations|updates)\b",
    re.I,
)
#: Steps that are none of the run's amount: of a schedule, or between two checkpoints.
_OTHER_STEPS = re.compile(
    r"\b(?:warm\w*|sav\w+|checkpoint\w*|eval\w*|every|per|accumulation)\b", re.I
)
#: Words of a run in stages, whose batches or lengths differ.
_STAGES = re.compile(
    r"\b(?:first|last|final|initial|remaining|rest|then|stages?|phases?|increas\w+|ramp\w*|grow\w*|anneal\w*|"
    r"decay\w*|cool\w*|early|later|halfway|respectively)\b",
    re.I,
)
_BATCH = re.compile(
    r"batch(?:es)?(?:[- ]sizes?)?\s(?:of\s|was\s|is\s|=\s?)?(?:about |around |roughly )?"
    rf"{NUMBER}{SCALE}\s*tokens\b|{NUMBER}{SCALE}\s*tokens\s(?:per|a|each|/)\s?(?:batch|step|update|iteration)\b",
    re.I,
)
_SEQUENCES = re.compile(
    rf"batch(?:es)?(?:[- ]sizes?)?\s(?:of\s|was\s|is\s|=\s?)?{NUMBER}{SCALE}"
    r"(?:\s*(?:sequences|samples|examples))?\b(?!\s*tokens)(?![\d.,]*\d)",
    re.I,
)
_LENGTH = re.compile(
    rf"(?:(?:sequence|context)(?:[- ](?:length|window|size))?s?\s(?:of\s|was\s|is\s|=\s?)?|sequences of\s)"
    rf"{NUMBER}{SCALE}(?:\s*tokens)?\b",
    re.I,
)
_NODE_HOURS = re.compile(
    rf"{NUMBER}{SCALE}\s*(?:node|server|machine|instance)[ -]?(hours?|h|days?)\b", re.I
)
_EACH_NODE = re.compile(
    rf"(\d{{1,2}})\s*(?:x\s*)?(?:{PART.pattern}\s*)?(?:{DEVICE}\s*)?(?:per|each|/|a)\s?(?:node|server|machine)\b"
    rf"|\b(?:nodes?|servers?|machines?)\s(?:with|of|having|containing)\s(\d{{1,2}})\s*(?:x\s*)?(?:{PART.pattern}|{DEVICE})",
    re.I,
)
_FEWEST = 1e6  #: tokens; fewer are of a test
_BEFORE, _AFTER = 24, 11  #: characters beside a number that tell which steps they are


def tokens_of_steps(text: str) -> list[Figure]:
    """Multiply steps by the tokens of a batch, where a sentence gives one of each."""
    if _STAGES.search(text) is not None:
        return []
    steps = {scaled(one[1], one[2]) for one in _STEPS.finditer(text) if not _is_part(text, one)}
    batches = {scaled(one[1] or one[3], one[2] or one[4]) for one in _BATCH.finditer(text)}
    if not batches:
        rows = {scaled(one[1], one[2]) for one in _SEQUENCES.finditer(text)}
        lengths = {scaled(one[1], one[2]) for one in _LENGTH.finditer(text)}
        if len(rows) == len(lengths) == 1:
            batches = {rows.pop() * lengths.pop()}
    if len(steps) != 1 or len(batches) != 1:
        return []
    total = steps.pop() * batches.pop()
    return [("tokens", total, "tokens")] if total >= _FEWEST else []


def _is_part(text: str, match: re.Match[str]) -> bool:
    beside = text[max(0, match.start() - _BEFORE) : match.end() + _AFTER]
    return _OTHER_STEPS.search(beside) is not None


def node_hours(text: str) -> list[Figure]:
    """Give node-hours: as device-hours where the sentence says how many devices a node has."""
    found: list[Figure] = []
    for match in _NODE_HOURS.finditer(text):
        seconds = scaled(match[1], match[2]) * (3600 if match[3][0] in "hH" else 86_400)
        each = {int(one[1] or one[2]) for one in _EACH_NODE.finditer(text)}
        if len(each) == 1:
            found.append(("accelerator_seconds", seconds * each.pop(), "s"))
        else:
            found.append(("node_seconds", seconds, "s"))
    return found
