"""Numbers as other languages write them: ``2,6 Billionen``, ``1 000 milliards``, ``1億3000万``, ``184.320``.

A number is written in digits where it can be one only. ``184.320`` is a thousand times more in German than in
English, ``billones`` a thousand times more in Madrid than in Miami: such a number is veiled, so that nothing
reads it, and its readings are given apart, so that it can be said which figure was not taken and why.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import islice

from flopledger.logs.readers.prose.tongues.table import Scale, Tongue

_NARROW = "\u00a0\u2007\u2009\u202f"
_RAW = rf"\d+(?:[.,'\u2019{_NARROW}]\d+| \d{{3}}(?![\dA-Za-z]))*"
_PLAIN = r"\d+(?:,\d{3})*(?:\.\d+)?"  #: in scripts that need no spaces
_START = r"(?<![\w.,^])(?<![A-Za-z_]-)(?<!\d[eE][+-])"
_START_ANYWHERE = r"(?<![A-Za-z_\d.,^])(?<![A-Za-z_]-)(?<!\d[eE][+-])"
#: Amounts of FLOP have rules of their own (``flop_words``).
_FLOP_NEXT = r"(?!\s?(?:de |d['\u2019]|di |an )?(?:[GTPEZ]?FLOP|次?\s?浮[点點]|op[eé]r|операц|Gleit|Fließ|drijvende|zwevende|flyttal|zmienno|浮動|부동))"
_POWER_NEXT = re.compile(r"\s*(?:x\s*10|[eE]\+?\d)")
_WHOLE = re.compile(r"\d+")
_GROUPED = re.compile(rf"\d{{1,3}}(?:[ {_NARROW}]\d{{3}})+(?:[.,]\d+)?")
_VEIL = str.maketrans({str(digit): chr(0xE000 + digit) for digit in range(10)})
_MANY_POINTS = re.compile(r"(?<![\w.,])\d{1,3}(?:\.\d{3}){2,}(?![.,]?\d)")
_MANY_COMMAS = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3}){2,}(?![.,]?\d)")
_COMMA_DECIMAL = re.compile(r"(?<![\w.,])(?:0,\d+|\d{1,9},(?:\d{1,2}|\d{4,}))(?![\w,]|\.\d)")
_POINT_DECIMAL = re.compile(r"(?<![\w.,-])(?:0\.\d+|\d{1,9}\.(?:\d{1,2}|\d{4,}))(?![,.]?\d)")
_NEXT_SCALE, _ANY_SCALE = 4, 99  #: powers of ten between a scale and the next one
_NUMBERS = 60  #: numbers of one piece that are looked at


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """A piece of text with its numbers in digits."""

    text: str  #: numbers of several readings are veiled
    others: tuple[str, ...] = ()  #: the text by each reading, where there are several


def points_part_thousands(text: str) -> bool | None:
    """Say whether points part thousands (and commas decimals) in a text; ``None`` where it does not tell."""
    points = bool(_MANY_POINTS.search(text)) or bool(_COMMA_DECIMAL.search(text))
    commas = bool(_MANY_COMMAS.search(text)) or bool(_POINT_DECIMAL.search(text))
    return None if points == commas else points


def written(text: str, tongue: Tongue, *, by_points: bool | None) -> Read:
    """Write the numbers of a piece in digits."""
    veiled: list[str] = []
    first: list[str] = []
    second: list[str] = []
    end = 0
    for match in islice(_pattern(tongue).finditer(text), _NUMBERS):
        is_exact = _POWER_NEXT.match(text[match.end() :]) is not None
        readings = _readings(match, tongue, by_points, is_exact=is_exact)
        between, end = text[end : match.start()], match.end()
        veiled += between, readings[0] if len(readings) == 1 else match[0].translate(_VEIL)
        first += between, readings[0] if readings else match[0].translate(_VEIL)
        second += between, readings[-1] if readings else match[0].translate(_VEIL)
    texts = ["".join((*parts, text[end:])) for parts in (veiled, first, second)]
    return Read(text=texts[0], others=() if texts[1] == texts[2] else (texts[1], texts[2]))


@cache
def _pattern(tongue: Tongue) -> re.Pattern[str]:
    words = "|".join(scale.word for scale in tongue.scales)
    if tongue.has_decimal_comma:
        return re.compile(
            rf"{_START}(?P<digits>{_RAW})(?:\s?(?P<scale>{words})(?![^\W\d_]){_FLOP_NEXT})?", re.I
        )
    between = r"\s?" if tongue.groups_by_spaces else ""
    return re.compile(
        rf"{_START_ANYWHERE}(?P<digits>{_PLAIN})\s?(?P<scale>{words}){_FLOP_NEXT}"
        rf"(?P<more>(?:{between}{_PLAIN}(?:{words}))*)(?P<rest>\d[\d,]*)?"
    )


def _readings(
    match: re.Match[str], tongue: Tongue, by_points: bool | None, *, is_exact: bool
) -> list[str]:
    """Give a number in digits, by each of its readings; none where it is nothing that is understood."""
    digits = _digits(match["digits"], tongue, by_points, is_exact=is_exact)
    if match["scale"] is None:
        return digits
    scale = _scale(match.string, match.start("scale"), match.end("scale"), tongue)
    if match.groupdict().get("more") or match.groupdict().get("rest"):
        return _sum(match, tongue)
    return [f"{one}e{power}" for power in scale.readings for one in digits]


def _sum(match: re.Match[str], tongue: Tongue) -> list[str]:
    """Add up a number in several scales, each smaller than the one before: 1億3000万."""
    words = "|".join(scale.word for scale in tongue.scales)
    total, last = Decimal(0), _ANY_SCALE
    parts = re.compile(rf"({_PLAIN})\s?({words})")
    for part in parts.finditer(match.string, match.start(), match.end()):
        power, *others = _scale(match.string, part.start(2), part.end(2), tongue).readings
        if others or power >= last or (last != _ANY_SCALE and last - power > _NEXT_SCALE):
            return []  # "1조 4천" may lack a 억
        total, last = total + Decimal(part[1].replace(",", "")).scaleb(power), power
    if match["rest"]:
        rest = match["rest"].replace(",", "")
        if len(rest) != last:
            return []  # "1万2" may be 12,000
        total += Decimal(rest)
    return [f"{total:.0f}"]


def _scale(text: str, start: int, end: int, tongue: Tongue) -> Scale:
    """Give the scale that stands in a text, where what follows it may tell which one."""
    for scale in tongue.scales:
        match = re.compile(scale.word, re.I).match(text, start)
        if match is not None and match.end() == end:
            return scale
    raise AssertionError(text[start:end])  # the pattern is made of these words


def _digits(raw: str, tongue: Tongue, by_points: bool | None, *, is_exact: bool) -> list[str]:
    """Give digits with a point for the decimals: one reading, two, or the text as it stands."""
    if _WHOLE.fullmatch(raw):
        return [raw]
    if not tongue.has_decimal_comma:
        return [raw.replace(",", "")]
    if _GROUPED.fullmatch(raw):
        if " " in raw and not tongue.groups_by_spaces:
            return [raw]
        raw = re.sub(rf"[ {_NARROW}]", "", raw)
        if raw.isdigit():
            return [raw]
    marks = [one for one in raw if one in ".,"]
    if "'" in raw or "\u2019" in raw or not set(raw) <= set("0123456789.,"):
        return [raw]
    if len(set(marks)) == 2:
        return [_two_marks(raw, marks)]
    groups = raw.split(marks[0])
    if len(groups) > 2:
        is_grouped = len(groups[0]) <= 3 and all(len(one) == 3 for one in groups[1:])
        return ["".join(groups)] if is_grouped else [raw]
    decimal = ".".join(groups)
    if len(groups[1]) != 3 or len(groups[0]) > 3 or groups[0].startswith("0") or is_exact:
        return [decimal]
    if by_points is None:
        return [decimal, "".join(groups)]
    return ["".join(groups)] if (marks[0] == ".") == by_points else [decimal]


def _two_marks(raw: str, marks: list[str]) -> str:
    """Write 1.234,5 and 1,234.5 one way: the last mark parts the decimals."""
    last = marks[-1]
    if marks.count(last) != 1:
        return raw
    whole, decimals = raw.split(last)
    groups = re.split(r"[.,]", whole)
    if len(groups[0]) > 3 or any(len(one) != 3 for one in groups[1:]):
        return raw
    return f"{''.join(groups)}.{decimals}"
