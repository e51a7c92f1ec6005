"""Bounds in words, and words about another model.

"More than 15 trillion tokens" and "15T+ tokens" are lower ends, not figures. "Fine-tuned from X, which was
trained on 15T tokens" tells of X.
"""

import re

from flopledger.logs.readers.prose.numbers import NUMBER, SCALE
from flopledger.logs.readers.prose.parts import DEVICE, PART

MARK = "\u2265"  #: stands before a number that is a lower end
_UNIT = (
    rf"(?:[A-Za-z][\w-]{{0,30}}[ -]){{0,3}}?"
    rf"(?:tokens\b|(?:epochs|passes)\b|(?:{DEVICE}|{PART.pattern})[ -]?(?:hours?|hrs|h|days?|years?)\b)"
)
_PLAIN = NUMBER.replace(r"(?<![A-Za-z_\d.,^])(?<!\d[eE][+-])", "")
#: "Trained over 15T tokens" means on; "on over 15T tokens" means more than.
_OVER = (
    r"(?<!trained )(?<!training )(?<!tuned )(?<!passes )(?<!pass )(?<!epochs )(?<!epoch )(?<!times )"
    r"(?<!spread )(?<!averaged )over"
)
_WORDS = (
    rf"(?:(?:well |slightly |significantly |much )?(?:more than|in excess of|upwards of|north of|{_OVER})"
    r"|at least|no (?:less|fewer) than|exceeding|>=|[>\u2265])"
)
_MORE = re.compile(
    rf"(?<![\w<]){_WORDS}\s*(?:about |around |roughly )?(?={_PLAIN}{SCALE}\s*{_UNIT})", re.I
)
_PLUS = re.compile(
    rf"({NUMBER}{SCALE})\s?(?:\+|or more\b)\s*(?=(?:[a-z-]+\s+){{0,2}}tokens\b)", re.I
)
_VALUE = re.compile(
    rf"\s*(?:{_WORDS}\s*)?(?:around |about |approx\w*\.? )?{_PLAIN}{SCALE}\s?(\+|or more\b)?", re.I
)
_AT_LEAST = re.compile(rf"\s*(?:well )?{_WORDS}\s*(?=\d)", re.I)

#: What this model began with, said in the same sentence.
_FROM = (
    r"(?:fine-?tun\w+|finetun\w+|initiali[sz]\w+|deriv\w+|adapt\w+|distill\w+|quanti[sz]\w+|built|based|"
    r"merge\w*|continu\w+|(?:further|continually|additionally) (?:pre-?)?train\w+)"
)
_WITHIN = r"(?:[^.;]|\.(?=\d))"  #: "Llama-3.1" ends no clause
_OTHER = re.compile(
    rf"\b{_FROM}\s(?:[\w-]{{1,30}}\s){{0,4}}?(?:from|of|on|with)\b{_WITHIN}{{1,80}}?,?\s"
    r"(?P<of>(?:which|that)\s(?:was|were|has been|had been)\b)"
    r"|(?P<the>\b(?:the|its|their)\s(?:[\w.-]{1,40}\s)?"
    r"(?:base|original|parent|backbone|underlying|upstream|source)"
    r"\s(?:model|checkpoint|LLM|network)s?\s(?:was|were|had been|has been|took|itself)\b)",
    re.I,
)
#: Where such a clause ends, and the sentence goes on about this model.
_BACK = re.compile(
    r"[,;]?\s(?:and|then|but|while|whereas)\s(?:then\s)?"
    r"(?:we|our|this|it|the (?:adapter|fine-?tun\w+|final))\b",
    re.I,
)


def marked(text: str) -> str:
    """Write lower ends one way: "more than 15T tokens" and "15T+ tokens" as "\u226515T tokens"."""
    text = _PLUS.sub(lambda match: f"{MARK}{match[1]} ", text)
    return _MORE.sub(MARK, text)


def value_at_least(value: str) -> str | None:
    """Give the number of a label's value that is a lower end ("15T+", "over 15T"); ``None`` of others."""
    match = _VALUE.match(value)
    if match is None:
        return None
    begin = _AT_LEAST.match(value)
    if begin is None and match[match.lastindex or 0] not in ("+", "or more"):
        return None
    return (
        value[begin.end() if begin else 0 : match.end()].strip().rstrip("+").removesuffix("or more")
    )


def own(text: str) -> tuple[str, str]:
    """Part a sentence into what it says of this model and what it says of the one it began with."""
    match = _OTHER.search(text)
    if match is None:
        return text, ""
    start = match.start("of") if match["of"] else match.start("the")
    back = _BACK.search(text, start)
    end = back.start() if back is not None else len(text)
    return f"{text[:start]} {text[end:]}".strip(), text[start:end]
