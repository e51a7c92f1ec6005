"""A piece of text in the words that the rules of English read.

No translation: only what tells of figures, of training, or of what is no figure of the run is written in
English words, in the order of the table. "Trained on so many tokens" is written only where a rule of the
language says just that; any other word of training becomes ``trains``, which makes no total of an amount.
"""

import re
from dataclasses import dataclass

from flopledger.logs.readers.prose.tongues import amounts, telling
from flopledger.logs.readers.prose.tongues.table import Tongue, label_in_english, rules_of

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x3002: ". "}
_WIDE |= {ord("、"): ", ", ord("「"): '"', ord("」"): '"', ord("【"): "(", ord("】"): ")"}
_SEAM = re.compile(
    r"(?<=[\u3041-\u30ff\u4e00-\u9fff\uac00-\ud7a3])(?=[A-Za-z0-9\u2265\ue000-\ue009])"
    r"|(?<=[A-Za-z0-9%\ue000-\ue009])(?=[\u3041-\u30ff\u4e00-\u9fff\uac00-\ud7a3])"
)
_SPACES = re.compile(r" {2,}")
_AMOUNT = r"\d[\d.,]*(?:e\d{1,2})?"
#: Ranges in words, as "1.8 - 2.2e9", which nothing reads as one figure.
_RANGES = (
    (
        re.compile(
            rf"(?<!\w)(?:zwischen|entre|tra|fra|tussen|między|mellan|между) ({_AMOUNT}) (?:und|et|y|e|en|a|i|och|и) (?={_AMOUNT})",
            re.I,
        ),
        r"\1 - ",
    ),
    (
        re.compile(
            rf"({_AMOUNT}) ?(?:到|至|から|에서|부터|(?<= )(?:bis|à|a|o|ou|oder|hasta|até|tot|of|do|lub|till|eller|до|или)(?= )) ?(?={_AMOUNT})"
        ),
        r"\1 - ",
    ),
)
#: "Based on X, trained on 2T tokens": X was, or this one; that is not told.
_OF_ITS_BASE = re.compile(r"\b(based on\s.{1,160}?[\s,])(trained on\b)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gloss:
    """A piece in English words."""

    text: str
    label: str | None
    others: tuple[str, ...] = ()  #: by each reading of a number that has two


def label_of(label: str, tongue: Tongue | None) -> str | None:
    """Give the English label for one of another language; ``None`` where no table has it."""
    plain = label.translate(_WIDE).strip()
    for one in telling.ALL if tongue is None else (tongue, *telling.ALL):
        if (english := label_in_english(plain, one)) is not None:
            return english
    return None


def gloss(text: str, label: str | None, tongue: Tongue, *, by_points: bool | None) -> Gloss:
    """Write a piece in English words."""
    text = text.translate(_WIDE).translate(tongue.variants)
    english = None if label is None else label_of(label, tongue) or label
    if english == "parameters" and tongue.has_decimal_comma:
        text += " Parameter"  # what is counted may tell how a scale is meant
    read = amounts.written(text, tongue, by_points=by_points)
    texts = [_words(one, tongue) for one in (read.text, *read.others)]
    return Gloss(text=texts[0], label=english, others=tuple(texts[1:]))


def _words(text: str, tongue: Tongue) -> str:
    text = _SPACES.sub(" ", _SEAM.sub(" ", text))
    for pattern, plain in (*_RANGES, *rules_of(tongue)):
        text, changes = pattern.subn(plain, text)
        if changes:
            text = _SPACES.sub(" ", text)
    return _OF_ITS_BASE.sub(r"\1which was \2", text)
