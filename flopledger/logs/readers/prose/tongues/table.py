"""What one language is told by: its words for amounts, units and training, and how it writes numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

#: A number in a rule, after ``amounts`` has written it in digits.
_NUMBER = (
    r"(?<![A-Za-z\d.,^])(?<![A-Za-z\d]-)\u2265?\d[\d,.]*(?:e\d{1,2})?(?:\s?[kKMBT](?![A-Za-z]))?"
)
_SLOTS = {"{N}": rf"(?P<n>{_NUMBER})", "{M}": rf"(?P<m>{_NUMBER})"}

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A word behind a number, and what it may multiply it by: several values where usage differs."""

    word: str  #: a pattern
    readings: tuple[int, ...]  #: powers of ten


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tongue:
    """A language, as far as figures of training are concerned."""

    name: str
    scales: tuple[Scale, ...]
    #: Patterns in their order, and English words; ``{N}`` and ``{M}`` are numbers, ``\\g<n>`` gives one back.
    rules: Pairs
    labels: Pairs  #: what stands before a colon, matched whole
    function_words: frozenset[str] = frozenset()  #: by which a sentence in Latin letters is told
    has_decimal_comma: bool = False
    groups_by_spaces: bool = False  #: of digits; in scripts without decimal commas: 6조 5000억
    variants: Mapping[int, int] = field(
        default_factory=dict
    )  #: letters that are written as others first


@cache
def rules_of(tongue: Tongue) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compile a language's rules, once it is met."""
    return tuple((re.compile(_filled(pattern), re.I), plain) for pattern, plain in tongue.rules)


def label_in_english(label: str, tongue: Tongue) -> str | None:
    """Give the English label for a language's own; ``None`` where the table has none."""
    plain = label.translate(tongue.variants)
    if not tongue.has_decimal_comma:
        plain = plain.replace(" ", "")
    match = _labels_of(tongue).fullmatch(plain)
    if match is None or match.lastgroup is None:
        return None
    return tongue.labels[int(match.lastgroup[1:])][1]


@cache
def _labels_of(tongue: Tongue) -> re.Pattern[str]:
    each = (f"(?P<l{index}>{pattern})" for index, (pattern, _) in enumerate(tongue.labels))
    return re.compile("|".join(each), re.I)


def _filled(pattern: str) -> str:
    for slot, number in _SLOTS.items():
        pattern = pattern.replace(slot, number)
    return pattern
