"""Amounts of FLOP in words: powers of ten, prefixes, petaFLOP/s-days.

A rate is no amount. "FLOPS" behind a prefix is a rate as often as an amount, so with a capital S, or in the
plural, only what no machine reaches in a second (zetta and above) is an amount; "exaFLOP" in the singular
and FLOP without a prefix are amounts, unless "/s" or "per second" follows.
"""

import math
import re

_NUMBER = (
    r"(?<![\w.,^])(?P<plain>\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,9})?"
    r"|\d{1,15}(?:\.\d{1,9})?(?:e\+?\d{1,2})?)"
)
#: With a decimal comma, too: a power of ten follows, so that no thousands are meant.
_DECIMAL = r"(?<![\d.,^])(\d{1,9}(?:[.,]\d{1,9})?)"
#: As the languages of the Act's versions, and of the models' papers, write it.
_ELSEWHERE = (
    r"opérations? (?:en|à) virgule flottante|(?:Gleit|Fließ)komma-?operationen|"
    r"operaciones (?:de|en) (?:punto|coma) flotante|operações (?:de|em) (?:ponto|vírgula) flutuante|"
    r"operazioni in virgola mobile|drijvende-?komma-?bewerkingen|zwevendekommabewerkingen"
)
_NAME = (
    rf"(?:(?:FLOPs?|floating[- ]point (?:operations?|ops)|{_ELSEWHERE})\b"
    r"|次?\s?浮[点點][数數]?(?:运算|運算)|浮動小数点(?:数)?演算|부동소수점 ?연산)"
)
_RATE = (
    r"(?!\s?(?:/\s?s|per[- ]s|[⋅·*-]?\s?s\^?-1|(?:/s)?[ -](?:peta)?days?"
    r"|(?:par|pro|por|al|per) s[eé][cgk]|/秒|每秒|毎秒|/초))"
)
#: Words that may stand between the figure and its name.
_BETWEEN = r"\$?\s*(?:(?:total|training|model|bf16|fp16|fp8|mixed[- ]precision)\s+){0,2}"
_POWER = re.compile(
    rf"(?:{_DECIMAL}\s*x\s*10\s*(?:\^|\*\*)?\s*\{{?(\d\d)\}}?(?![.\d])"
    rf"|{_DECIMAL}e\+?(\d\d)(?![.\d])"
    rf"|(?<![\d.x])\b10\s*(?:\^|\*\*)\s*\{{?(\d\d)\}}?(?![.\d])){_BETWEEN}{_NAME}{_RATE}",
    re.I,
)
_PREFIXES = {"giga": 9, "tera": 12, "peta": 15, "exa": 18, "zetta": 21, "yotta": 24, "ronna": 27}
_LETTERS = {"g": 9, "t": 12, "p": 15, "e": 18, "z": 21, "y": 24, "r": 27}
_SCALES = {
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
    "quadrillion": 1e15,
    "quintillion": 1e18,
    "sextillion": 1e21,
    "septillion": 1e24,
}
#: A figure before a prefix: ``5.76 x 10^5 exaFLOP``, ``10^5 exaFLOP``, ``576,000 EFLOP``.
_FIGURE = (
    r"(?:(?<![\w.,^])(?P<digits>\d{1,9}(?:[.,]\d{1,9})?)\s*x\s*10\s*\^?\s*\{?(?P<power>\d{1,2})\}?"
    r"|(?<![\d.x])\b10\s*\^\s*\{?(?P<ten>\d{1,2})\}?"
    rf"|{_NUMBER})(?![.\d])"
)
_SCALED = rf"{_FIGURE}\$?\s*(?P<scale>thousand|million|billion|trillion)?\s*-?"
_UNIT = r"(?:(?P<prefix>giga|tera|peta|exa|zetta|yotta|ronna)[- ]?|(?P<letter>[GTPEZYR]))"
_PREFIXED = re.compile(rf"{_SCALED}{_UNIT}FLOP(?P<plural>s?)\b{_RATE}", re.I)
_DAYS = re.compile(
    rf"{_SCALED}{_UNIT}(?:FLOPS?|FS?)(?:/s(?:ec)?)?[ -]?(?P<time>hour|day|year)s?\b", re.I
)
#: In English alone: a trillion is a million times as much in other languages.
_WORDED = re.compile(
    rf"{_NUMBER}\s*(?P<scale>{'|'.join(_SCALES)})\s+"
    rf"(?:FLOPs?|floating[- ]point (?:operations?|ops))\b{_RATE}",
    re.I,
)
_LIMIT_BEFORE = re.compile(
    r"(?:below|under|exceed(?:s|ed|ing)?|above|over|at (?:least|most)|beyond"
    r"|(?:not|n['’]t|never)(?: \w+)? (?:reach|cross|surpass)(?:ed)?"  # noqa: RUF001
    r"|(?:fewer|less|more|greater|higher|lower) than|(?:threshold|limit|criterion)(?: (?:of|at|is))?|[<>≤≥]"
    r"|(?:supérieure?s?|inférieure?s?) [àa]|(?:plus|moins) de|seuil(?: de)?|(?:mehr|weniger) als|über|unter"
    r"|Schwelle(?:nwert)?(?: von)?|(?:más|menos|mais) (?:de|que)|superior(?:es)? a|inferior(?:es)? a"
    r"|(?:umbral|limiar|soglia|limite)(?: (?:de|di))?|(?:più|meno) di"
    r"|超过|超過|低于|小于|大于|阈值|閾値|每秒|毎秒|초당)"
    r"\s*(?:the |a )?(?:\w+ ){0,2}$",
    re.I,
)
_LIMIT_AFTER = re.compile(
    r"[ -]*(?:of \w+ )?(?:threshold|limit|criterion|presumption|mark|cut-?off)", re.I
)
_DIGITS = re.compile(r"\d{1,9}(?:[.,]\d{1,9})?")
#: The lower end of a range, which stands before its upper one.
_LOWER_END = re.compile(
    r"(?<![A-Za-z\d.,^])(?:(?P<digits>\d{1,9}(?:[.,]\d{1,9})?)(?:(?:\s*x\s*10\s*\^?\s*\{?|e\+?)(?P<power>\d\d)\}?)?"
    r"|10\s*\^\s*\{?(?P<ten>\d\d)\}?)"
    rf"\s*{_NAME}?\s*(?:-|–|—|~|to|bis|à|至|到|(?P<and>and|und|et|y|e|or|oder))\s*$",
    re.I,
)
_BETWEEN_TWO = re.compile(r"\b(?:between|zwischen|entre|tra|from|von|de)\b", re.I)
_ORDER = re.compile(
    r"(?:\border of(?: magnitude(?: of)?)?|Größenordnung(?: von)?|de l['’]ordre de|数量级(?:为|约为)?)"  # noqa: RUF001
    r"\s*(?:about |around |~|≈)?\s*$",
    re.I,
)
_WIDEST = 1e3  #: ends further apart are no range of one figure
#: From this prefix on, nobody means a second.
_NO_RATE = 21
#: So much no machine does in a second, whatever the prefix is; below the second, GFLOP and TFLOP are
#: the speed of a device or the cost of a sample.
_NO_MACHINE, _NO_DEVICE = 1e22, 1e18
_SECONDS = {"hour": 3_600, "day": 86_400, "year": 365.25 * 86_400}

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_RAISED = re.compile(r"(?<=10)([⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})(?![⁰¹²³⁴⁵⁶⁷⁸⁹])")
_SUP_TAG = re.compile(r"(?<=10)<sup>\s*(\d{1,2})\s*</sup>", re.I)
_TIMES = re.compile(r"(?<=[\d\s])\s*(?:\*|×|·|⋅|\\times(?![a-z])|\\cdot(?![a-z]))\s*(?=10)")
_STARRED = re.compile(r"\b10\s*\*\*\s*(?=\d)")


def spelled(text: str) -> str:
    """Spell powers of ten one way: ``3.8×10²⁵``, ``3.8*10**25`` and LaTeX's as ``3.8 x 10^25``."""
    text = _SUP_TAG.sub(r"^\1", text)
    text = _RAISED.sub(lambda match: f"^{match[1].translate(_SUPERSCRIPTS)}", text)
    return _TIMES.sub(" x ", _STARRED.sub("10^", text))


def amounts(text: str) -> list[float]:
    """Give every amount of FLOP that a text states.

    Rates are none, nor are limits ("below 10^25 FLOP") and the ends of a range.
    """
    text = spelled(text)
    found = [(_range_of(text, match, amount), amount) for match, amount in _found(text)]
    ends = {round(math.log(end), 6) for one, _ in found if one is not None for end in one}
    return [
        amount
        for one, amount in found
        if one is None and (amount <= 0 or round(math.log(amount), 6) not in ends)
    ]


def ranges(text: str) -> list[tuple[float, float]]:
    """Give every range: "between 1e23 and 2e23 FLOP", "1-2 x 10^23 FLOP", "on the order of 10^23 FLOP"."""
    text = spelled(text)
    found = [_range_of(text, match, amount) for match, amount in _found(text)]
    return [one for one in found if one is not None]


def limits(text: str) -> list[tuple[int, float]]:
    """Give where each limit's figure begins ("below 10^25 FLOP"), and the limit, in a spelled text."""
    return [(match.start(), one) for match, one in _named(text) if _is_limit(text, match)]


def beside(text: str) -> list[float]:
    """Give amounts that share the next one's name: the first of "6.3e24 and 7.2e23 FLOP, respectively"."""
    text = spelled(text)
    found = []
    for match, amount in _found(text):
        before = text[max(0, match.start() - 60) : match.start()]
        lower = _LOWER_END.search(before)
        if lower is not None and lower["and"] and _BETWEEN_TWO.search(before) is None:
            found.append(_lower_end(lower, match, amount))
    return found


def _range_of(text: str, match: re.Match[str], amount: float) -> tuple[float, float] | None:
    """Give the range whose upper end an amount is, or whose order of magnitude it tells."""
    before = text[max(0, match.start() - 60) : match.start()]
    if _ORDER.search(before) is not None:
        # 8e22 is "of the order of 10^22" by its exponent, and of 10^23 by rounding.
        is_power = math.isclose(math.log10(amount), round(math.log10(amount)))
        return amount / math.sqrt(10), amount * (10 if is_power else math.sqrt(10))
    lower = _LOWER_END.search(before)
    if lower is None or (lower["and"] and _BETWEEN_TWO.search(before) is None):
        return None
    low = _lower_end(lower, match, amount)
    return (low, amount) if amount / _WIDEST <= low < amount else None


def _lower_end(lower: re.Match[str], match: re.Match[str], amount: float) -> float:
    digits = (lower["digits"] or "1").replace(",", ".")
    if lower["ten"]:
        return 10.0 ** int(lower["ten"])
    if lower["power"]:
        return float(f"{digits}e{lower['power']}")
    # "1-2 x 10^23": the lower end shares what stands behind the upper one
    upper = _DIGITS.match(match[0])
    return amount * float(digits) / float(upper[0].replace(",", ".")) if upper else 0.0


def _found(text: str) -> list[tuple[re.Match[str], float]]:
    return [(match, amount) for match, amount in _named(text) if not _is_limit(text, match)]


def _named(text: str) -> list[tuple[re.Match[str], float]]:
    found = []
    for match in _POWER.finditer(text):
        digits = (match[1] or match[3] or "1").replace(",", ".")
        found.append((match, float(f"{digits}e{match[2] or match[4] or match[5]}")))
    for match in _PREFIXED.finditer(text):
        power, amount = _power(match), _scaled(match) * 10.0 ** _power(match)
        is_amount = not match["plural"] or power >= _NO_RATE or amount >= _NO_MACHINE
        if is_amount and (power >= 15 or amount >= _NO_DEVICE):
            found.append((match, amount))
    found += [
        (match, _scaled(match) * 10.0 ** _power(match) * _SECONDS[match["time"].lower()])
        for match in _DAYS.finditer(text)
    ]
    found += [
        (match, amount)
        for match in _WORDED.finditer(text)
        if (amount := _plain(match) * _SCALES[match["scale"].lower()]) >= _NO_DEVICE
    ]
    return found


def _is_limit(text: str, match: re.Match[str]) -> bool:
    """Tell a threshold that somebody set from what was spent."""
    before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() :][:30]
    return _LIMIT_BEFORE.search(before) is not None or _LIMIT_AFTER.match(after) is not None


def _power(match: re.Match[str]) -> int:
    if match["prefix"]:
        return _PREFIXES[match["prefix"].lower()]
    return _LETTERS[match["letter"].lower()]


def _plain(match: re.Match[str]) -> float:
    return float(match["plain"].replace(",", ""))


def _scaled(match: re.Match[str]) -> float:
    scale = _SCALES.get((match["scale"] or "").lower(), 1.0)
    if match["plain"]:
        return _plain(match) * scale
    digits = (match["digits"] or "1").replace(",", ".")
    return float(f"{digits}e{match['power'] or match['ten']}") * scale
