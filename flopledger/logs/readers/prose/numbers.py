"""Numbers as a sentence writes them: digits with commas, scales, powers of ten, small ones in words."""

import re

from flopledger.logs.readers.prose.parts import DEVICE, PART

#: The end of another number ("1.5e6", "10^6") is none, nor that of a name ("A100 GPU hours").
NUMBER = (
    r"(?<![A-Za-z_\d.,^])(?<!\d[eE][+-])"
    r"(\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,9})?|\d{1,15}(?:\.\d{1,9})?(?:[eE]\+?\d{1,2})?)"
)
_POWER_OF_TEN = re.compile(
    r"(?<![\d.,^])(?:(\d{1,9}(?:\.\d{1,9})?)\s*x\s*)?10\^\{?(\d{1,2})\}?(?![\d.])"
)
_SCALES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12} | {
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
    "": 1.0,
}
_IN_DIGITS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "sixteen": "16", "twenty": "20",
    "thirty-two": "32", "sixty-four": "64",
}  # fmt: skip
SCALE = r"\s?(thousand|million|billion|trillion|[kKMBT](?![A-Za-z]))?"
#: "one" alone is a pronoun; before an amount, a time or a device it is a number.
_SPELLED = "|".join(sorted(_IN_DIGITS, key=len, reverse=True))
_WORDS = re.compile(
    rf"(?<![\w-])(?<!hundred )(?<!hundred and )(?<!thousand and )({_SPELLED})"
    r"(?=[ -](?:hundred |thousand|million|billion|trillion|(?:full |complete )?(?:epochs|passes)\b|times\b"
    rf"|hours?\b|days?\b|weeks?\b|{DEVICE}\b|nodes?\b"
    rf"|machines?\b|servers?\b|{PART.pattern}))",
    re.I,
)
#: What makes another number of the one before it: a second scale, one that is not read, "2T+".
MORE = r"(?:thousand|million|billion|trillion|bn|tn|mn|mio|mrd|bio|lakhs?|crores?|or more|\+)"
_MORE = re.compile(rf"\s?{MORE}", re.I)
_LEADING = re.compile(rf"(?:around|about|approx\w*\.?|roughly|total:?)?\s*{NUMBER}{SCALE}", re.I)


def in_digits(text: str) -> str:
    """Write numbers one way: "two weeks" as "2 weeks", "1.2 x 10^6 GPU hours" as "1.2e6 GPU hours"."""
    text = _POWER_OF_TEN.sub(lambda match: f"{match[1] or 1}e{match[2]}", text)
    return _WORDS.sub(lambda match: _IN_DIGITS[match[1].lower()], text)


def scaled(number: str, scale: str | None) -> float:
    """Multiply a number by its scale: "1.5", "billion"."""
    value = float(number.replace(",", "")) * _SCALES[(scale or "").lower()]
    return round(value) if value >= 1000 else value


def leading(value: str) -> tuple[str, str | None] | None:
    """Give number and scale that a text begins with."""
    match = _LEADING.match(value)
    if match is None or _MORE.match(value[match.end() :]):
        return None
    return match[1], match[2]
