"""The ends that a claim's own words give it: "stayed below 10^25 FLOP", "used more than 3e24 FLOP".

A limit that the sentence only mentions ("models above 10^25 FLOP are presumed ...") says nothing of this
model, so a verb of spending has to stand before it, and nothing that makes the sentence a general one.
"""

import re
from dataclasses import dataclass

from flopledger import flop_words

_VERB = (
    r"(?:stay(?:s|ed|ing)?|remain(?:s|ed|ing)?|kept|is|was|were|be|been|took|takes|used?|using|consumed?|spent"
    r"|requir(?:es?|ed|ing)|needed|cost|amount(?:s|ed|ing)? to|total(?:s|ed|led|ing|ling)?"
    r"|trained (?:with|using|on|at)|compute(?: of)?)"
)
_BELOW = (
    r"(?:below|beneath|under|(?:less|fewer|lower|smaller) than|(?:at|the) most|no (?:more|higher) than"
    r"|up to|[<≤])"
)
_ABOVE = r"(?:above|over|beyond|(?:more|greater|higher|larger) than|at least|no (?:less|fewer) than|[>≥])"
_EXCEED = r"(?:exceed(?:s|ed|ing)?|cross(?:es|ed|ing)?|reach(?:es|ed|ing)?|surpass(?:es|ed|ing)?)"
_NOT = re.compile(r"(?<!no )(?<!if )(?:\bnot\b(?! only)|\bnever\b|n['’]t\b|\bwithout\b)", re.I)  # noqa: RUF001
_NEAR = 12  #: characters in which a word that denies a verb stands before it
_ADVERBS = (
    r"(?:\s+(?:not|never|well|far|just|slightly|somewhat|safely|always|in total|a total of|thus"
    r"|therefore)){0,2}"
)
#: What may stand between the word and the figure: "the AI Act's threshold of", "the".
_UP_TO_IT = (
    r"\s*(?:(?:the|a|any|of|at|AI|EU|Union['’]?s?|Act['’]?s?|threshold|limit|mark"  # noqa: RUF001
    r"|systemic[- ]risk)\s+){0,6}$"
)
_UPPER = re.compile(rf"\b{_VERB}{_ADVERBS}\s+{_BELOW}{_UP_TO_IT}", re.I)
_NOT_EXCEEDED = re.compile(rf"{_NOT.pattern}(?:\s+\w+)?\s+{_EXCEED}{_UP_TO_IT}", re.I)
_LOWER = re.compile(rf"\b(?:{_VERB}{_ADVERBS}\s+{_ABOVE}|{_EXCEED}){_UP_TO_IT}", re.I)
#: Sentences about models at large or another one, about what is asked for, or about a share of a limit.
_GENERAL = re.compile(
    r"\b(?:models|systems|providers|that|which|who|if|when|where|unless|whether|any|every|must|should|may|might"
    r"|would|could|presumed|original|base|parent|teacher|predecessor|previous|other|another|combined"
    r"|half|third|quarter|times|per ?cent|percent)\b|%",
    re.I,
)
_SENTENCE = re.compile(r"[.;:!?](?=\s)|\n")


@dataclass(frozen=True, slots=True)
class SaidLimit:
    """An end that a statement gives its own figure (FLOP)."""

    flop: float
    is_upper: bool

    def is_broken_by(self, low: float, high: float, slack: float) -> bool:
        """Say whether all from ``low`` to ``high`` lies beyond it, by more than ``slack`` (a factor)."""
        return low > self.flop * slack if self.is_upper else high * slack < self.flop


def said_limits(text: str) -> list[SaidLimit]:
    """Give the ends that a statement's own words set to what was spent."""
    text = flop_words.spelled(text)
    found = ((_is_upper(text[:place]), flop) for place, flop in flop_words.limits(text))
    return [SaidLimit(flop=flop, is_upper=upper) for upper, flop in found if upper is not None]


def _is_upper(before: str) -> bool | None:
    """Tell which end a sentence sets with the figure behind it; ``None`` where it sets none of its own."""
    sentence = _SENTENCE.split(before)[-1][-200:]
    if _GENERAL.search(sentence):
        return None
    if _NOT_EXCEEDED.search(sentence):
        return True
    for pattern, is_upper in ((_UPPER, True), (_LOWER, False)):
        found = pattern.search(sentence)
        if found is not None:
            denied = _NOT.search(sentence, max(0, found.start() - _NEAR), found.end())
            return is_upper is (denied is None)
    return None
