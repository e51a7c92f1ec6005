"""Passes over the data that a text names, and whether the tokens beside them are of one pass or of all.

"Three trillion tokens, three epochs" gives all of them in one card and the data set in the next. What
settles it is said in words ("unique", "in total", "a corpus of") or by arithmetic ("4T tokens, 4 epochs of
1T"); the rest keeps both readings.
"""

import re
from typing import Literal

from flopledger.logs.readers.prose.numbers import NUMBER, SCALE, scaled
from flopledger.logs.readers.prose.parts import Figure

Of = Literal["one pass", "all passes", "either"]

_ABOUT = r"(?:about|around|roughly|approximately|nearly|almost|~)\s"
_EPOCHS = rf"{NUMBER}\s*(?:full\s|complete\s|whole\s|training\s)?(?:epochs|passes\b(?!\sof))\b"
_TIMES = (
    rf"\b(?:each|every|all|the)\s(?:of\s)?(?:the\s|our\s)?(?:[\w-]{{1,20}}\s)?"
    r"(?:tokens?|data|documents?|samples?|data ?set|corpus)\s"
    r"(?:(?:is|was|were|are|has been|have been|being)\s)?(?:then\s)?"
    rf"(?:seen|visited|repeated|used|processed|shown|passed over|iterated over)\s(?:{_ABOUT})?"
    rf"{NUMBER}\s?(?:times|x)\b"
)
_ITERATED = rf"\biterat\w*\s{NUMBER}\stimes\s(?:over|through)\b"
_STATED = re.compile(rf"{_EPOCHS}|{_TIMES}|{_ITERATED}", re.I)
_TWICE = re.compile(r"\b(seen|visited|repeated|used|processed|shown)\stwice\b", re.I)
_EACH = re.compile(
    rf"{NUMBER}{SCALE}\s((?:[a-z-]+\s)?tokens)\s(?:per|each|every|in each)\s(?:epoch|pass)\b", re.I
)
#: Of a schedule, of a checkpoint, or of an interval between two of something: not of the whole run.
_NOT_ALL = re.compile(
    r"\b(?:every|each|after|first|last|final|initial|at|per|next|warm\w*(?:\s(?:of|for|over))?|since|within"
    r"|until|by|than|early|additional|another|\d of)\s(?:the\s)?(?:first\s|last\s|about\s)?$",
    re.I,
)
_OF_WARMUP = re.compile(r"\s*(?:of\s)?(?:warm|cool|linear\s(?:warm|decay)|patience)", re.I)
_MORE_THAN = re.compile(r"(?:more than|over|at least|>|\u2265)\s*$", re.I)
#: Work after pre-training; in a card of a whole model its epochs are not the pre-training's.
_TUNING = re.compile(
    r"\bfine-?\s?tun\w+|\bfinetun\w+|\bSFT\b|\bDPO\b|\bRLHF\b|\bPPO\b|\bGRPO\b|\bORPO\b|\bLoRA\b"
    r"|\binstruct\w*|\bpost-?train\w*|\balign(?:ment|ed)\b|\bpreference\b|\badapters?\b",
    re.I,
)
_DATA = (
    r"(?:training\s|pre-?training\s|text\s)?(?:data ?sets?|corpus|corpora|collection|mixture|data)"
)
_UNIQUE = re.compile(r"\b(?:unique|distinct|deduplicated)\b", re.I)
_OF_DATA_BEFORE = re.compile(
    rf"(?:{_DATA}\s(?:of|with|containing|comprising|holding|totall?ing)|\b(?:epochs|passes)\sof)\s"
    rf"(?:the\s|its\s|our\s|a\s|total\sof\s|{_ABOUT})*$",
    re.I,
)
_OF_DATA_AFTER = re.compile(rf"\s*(?:of\s)?(?:unique\s)?{_DATA}\b", re.I)
_PASSED_OVER = re.compile(
    rf"\b(?:epochs?|passes)\s(?:over|on|of|through|across)\s(?:the\s|its\s|our\s|{_ABOUT})*$", re.I
)
_TOTAL_BEFORE = re.compile(
    rf"\b(?:total\sof|in\stotal,?|altogether|saw|sees|seen|processed|consumed|amount\w*\sto|totall?ing)\s"
    rf"(?:{_ABOUT})?$",
    re.I,
)
_TOTAL_AFTER = re.compile(
    r"\s*(?:,\s)?(?:in (?:total|all)\b|altogether\b|overall\b|(?:are |were )?(?:seen|processed|consumed)\b"
    r"|\(?(?:including|counting|with) (?:\w+\s)?(?:repe\w+|epochs|passes))",
    re.I,
)
_SCALED = re.compile(rf"{NUMBER}{SCALE}", re.I)
_EQUAL = 0.03  #: people round both factors
_TOKEN_DATA = re.compile(
    rf"(?:(an?|our|the)\s)?{NUMBER}{SCALE}[- ]token\s((?:[\w-]{{1,20}}\s)?(?:data ?set|corpus))\b",
    re.I,
)
SEVERAL = 1.2  #: below, the last pass was cut short or begun anew


def written_out(text: str) -> str:
    """Write "1T tokens per epoch" as "epochs of 1T tokens", and "seen twice" as "seen 2 times"."""
    text = _EACH.sub(lambda one: f"epochs of {one[1]}{one[2] or ''} {one[3]}", text)
    return _TWICE.sub(r"\1 2 times", text)


def in_plural(text: str) -> str:
    """Write "a 1T-token corpus" as "a corpus of 1T tokens"."""
    return _TOKEN_DATA.sub(
        lambda one: f"{one[1] or 'a'} {one[4]} of {one[2]}{one[3] or ''} tokens", text
    )


def stated(text: str) -> float:
    """Give the passes over the data that a sentence names; 1 where it names none."""
    passes = [
        float((match[1] or match[2] or match[3]).replace(",", ""))
        for match in _STATED.finditer(text)
        if not _is_of_a_part(text, match)
    ]
    return max([1.0, *passes])


def _is_of_a_part(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 30) : match.start()]
    return (
        _NOT_ALL.search(before) is not None
        and _MORE_THAN.search(before) is None
        and match[1] is not None
    ) or _OF_WARMUP.match(text[match.end() :]) is not None


def figures(text: str) -> list[Figure]:
    """Give the passes as a figure of the run, or of its tuning."""
    passes = stated(text)
    if passes < SEVERAL:
        return []
    name = "tuning_passes" if _TUNING.search(text) is not None else "passes"
    return [(name, passes, "epochs")]


def beside(text: str, match: re.Match[str], passes: float) -> Of:
    """Say of what the tokens at ``match`` are: of one pass, of all of them, or either."""
    before, after = text[: match.start()], text[match.end() :]
    if is_total(text, match) or _is_product(text, match, passes):
        return "all passes"
    if _UNIQUE.search(match[0]) or _OF_DATA_BEFORE.search(before) or _OF_DATA_AFTER.match(after):
        return "one pass"
    return "either"


def is_total(text: str, match: re.Match[str]) -> bool:
    """Say whether words make an amount that of everything seen."""
    return (
        re.search(r"\btotal\b", match[0], re.I) is not None
        or _TOTAL_BEFORE.search(text[: match.start()]) is not None
        or _TOTAL_AFTER.match(text[match.end() :]) is not None
    )


def _is_product(text: str, match: re.Match[str], passes: float) -> bool:
    """Say whether another amount of the sentence, that many times, is this one."""
    value = scaled(match[1], match[2])
    others = (
        scaled(one[1], one[2])
        for one in _SCALED.finditer(text)
        if one[2] is not None and not match.start() <= one.start() < match.end()
    )
    return any(abs(passes * other / value - 1) < _EQUAL for other in others)


def are_passed_over(text: str, match: re.Match[str]) -> bool:
    """Say whether the words name an amount as what was passed over ("4 epochs over 1T tokens")."""
    return _PASSED_OVER.search(text[: match.start()]) is not None


def labelled(text: str, value: float, *, is_all: bool) -> list[Figure]:
    """Give the tokens behind a label that names passes, too: "1T x 4 epochs", "3T (3 epochs)"."""
    passes = stated(text)
    if re.search(rf"[x\u00d7*]\s*{NUMBER}\s*(?:full\s)?(?:epochs|passes)", text, re.I):
        value, is_all = value * passes, True
    if is_all:
        return [("tokens", value, "tokens"), ("tokens_of_all_passes", value, "tokens")]
    if passes < SEVERAL:
        return [("tokens", value, "tokens")]
    return [*either(value, passes), ("passes", passes, "epochs")]


def either(value: float, passes: float) -> list[Figure]:
    """Keep both readings of an amount beside passes: no less than it, and no more than all of them."""
    return [
        ("tokens_at_least", value, "tokens"),
        ("tokens_of_passes_at_most", value * passes, "tokens"),
    ]
