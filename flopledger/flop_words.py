"""Amounts of FLOP in words: powers of ten, prefixes, petaFLOP/s-days.

A rate is no amount. "FLOPS" behind a prefix is a rate as often as an amount, so with a capital S, or in the
plural, only what no machine reaches in a second (zetta and above) is an amount; "exaFLOP" in the singular
and FLOP without a prefix are amounts, unless "/s" or "per second" follows.
"""

import re

_NUMBER = (
    r"(?<![\w.,])(\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,9})?|\d{1,15}(?:\.\d{1,9})?(?:e\+?\d{1,2})?)"
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
    r"|次?\s?浮[点點](?:运算|運算)|浮動小数点(?:数)?演算|부동소수점 ?연산)"
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
_PREFIXES = {"peta": 15, "exa": 18, "zetta": 21, "yotta": 24, "ronna": 27}
_LETTERS = {"p": 15, "e": 18, "z": 21, "y": 24, "r": 27}
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_SCALED = rf"{_NUMBER}\s*(thousand|million|billion|trillion)?\s*-?"
_PREFIXED = re.compile(
    rf"{_SCALED}(?:(peta|exa|zetta|yotta|ronna)[- ]?|([PEZYR]))FLOP(s?)\b{_RATE}", re.I
)
_DAYS = re.compile(
    rf"{_SCALED}(?:(peta|exa|zetta|yotta)[- ]?|([PEZY]))(?:FLOPS?|FS?)(?:/s(?:ec)?)?[ -]?days?\b",
    re.I,
)
_LIMIT_BEFORE = re.compile(
    r"(?:below|under|exceed(?:s|ed|ing)?|above|over|at (?:least|most)|beyond"
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
#: From this power of ten on, nobody means a second.
_NO_RATE = 21
_SECONDS_A_DAY = 86_400

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
    """Give every amount of FLOP that a text states; rates are none, nor are limits ("below 10^25 FLOP")."""
    text = spelled(text)
    found = []
    for match in _POWER.finditer(text):
        digits = (match[1] or match[3] or "1").replace(",", ".")
        found.append((match, float(f"{digits}e{match[2] or match[4] or match[5]}")))
    for match in _PREFIXED.finditer(text):
        power = _power(match)
        if power >= _NO_RATE or not match[5]:
            found.append((match, _scaled(match) * 10.0**power))
    found += [
        (match, _scaled(match) * 10.0 ** _power(match) * _SECONDS_A_DAY)
        for match in _DAYS.finditer(text)
    ]
    return [amount for match, amount in found if not _is_limit(text, match)]


def _is_limit(text: str, match: re.Match[str]) -> bool:
    """Tell a threshold that somebody set from what was spent."""
    before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() :][:30]
    return _LIMIT_BEFORE.search(before) is not None or _LIMIT_AFTER.match(after) is not None


def _power(match: re.Match[str]) -> int:
    return _PREFIXES[match[3].lower()] if match[3] else _LETTERS[match[4].lower()]


def _scaled(match: re.Match[str]) -> float:
    return float(match[1].replace(",", "")) * _SCALES.get((match[2] or "").lower(), 1.0)
