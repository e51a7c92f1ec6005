"""Which language a text, and a sentence of it, is in: by script, and by small words where scripts are shared."""

import re
from collections import Counter
from collections.abc import Iterable

from flopledger.logs.readers.prose.tongues import (
    chinese,
    dutch,
    french,
    german,
    italian,
    japanese,
    korean,
    polish,
    portuguese,
    russian,
    spanish,
    swedish,
)
from flopledger.logs.readers.prose.tongues.table import Tongue, label_in_english

_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_KANA = re.compile(r"[\u3041-\u30fa]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
#: Letters that Chinese writes and Japanese does not.
_CHINESE_ALONE = re.compile(
    r"[们这为个时训练网经将进对总仅约亿万东过无门见车长现实际让给还没么吗呢個這們麼爲與於沒訓练]"
)
_WORD = re.compile(r"(?<![\w'’-])[^\W\d_]{2,}(?![\w-])")
_ENGLISH = frozenset(
    (
        "the of and with was were is are on for from by we our this that which it its as at in"
    ).split()
)
#: Told from each other by their small words.
_EUROPEAN = (
    german.TONGUE,
    french.TONGUE,
    spanish.TONGUE,
    italian.TONGUE,
    portuguese.TONGUE,
    dutch.TONGUE,
    polish.TONGUE,
    swedish.TONGUE,
    russian.TONGUE,
)
_SHARED_SENTENCE = 2  #: small words that tell a sentence's language against the text's
_SCRIPT_LETTERS = 12  #: letters of a script by which a text is in its language
ALL = (chinese.TONGUE, japanese.TONGUE, korean.TONGUE, *_EUROPEAN)


def of_text(text: str, labels: Iterable[str] = ()) -> Tongue | None:
    """Give the language of most of a text; ``None`` for English and for any other that has no table.

    ``labels`` are those that no English table has: a page of them alone has no other words.
    """
    counts = {
        korean.TONGUE: len(_HANGUL.findall(text)),
        japanese.TONGUE: 2 * len(_KANA.findall(text)),
        chinese.TONGUE: len(_HAN.findall(text)),
    }
    most = max(counts, key=lambda tongue: counts[tongue])
    if counts[most] >= _SCRIPT_LETTERS:
        return most
    best, hits, english = _by_words(text)
    if hits > max(english, 1):
        return best
    told = Counter(one for one in (of_label(label, None) for label in labels) if one in _EUROPEAN)
    return told.most_common(1)[0][0] if told and not english else None


def of_label(label: str, home: Tongue | None) -> Tongue | None:
    """Give the language that a label is in, of those that have it first the text's own."""
    tongues = ALL if home is None else (home, *ALL)
    return next((one for one in tongues if label_in_english(label, one) is not None), None)


def of_piece(text: str, home: Tongue | None) -> Tongue | None:
    """Give the language of a sentence, where the text's is ``home``."""
    if _HANGUL.search(text):
        return korean.TONGUE
    if _KANA.search(text):
        return japanese.TONGUE
    if _HAN.search(text):
        is_japanese = home is japanese.TONGUE and _CHINESE_ALONE.search(text) is None
        return japanese.TONGUE if is_japanese else chinese.TONGUE
    best, hits, english = _by_words(text)
    if best is home or (hits >= _SHARED_SENTENCE and hits > english):
        return best if hits or not english else None
    return home if home in _EUROPEAN and not english else None


def _by_words(text: str) -> tuple[Tongue | None, int, int]:
    """Give the language whose small words are most, their number and that of English ones."""
    words = [one.lower() for one in _WORD.findall(text)]
    english = sum(one in _ENGLISH for one in words)
    counts = {tongue: sum(one in tongue.function_words for one in words) for tongue in _EUROPEAN}
    best = max(counts, key=lambda tongue: counts[tongue])
    return (best, counts[best], english) if counts[best] else (None, 0, english)
