"""Whose work a sentence speaks of: this run's, that of several models together, or other work.

"All models of the family took 5.2M GPU hours" is no figure of one of them, and "generating the data took
90,000 GPU hours" none of its training. What passes over the data make
of the tokens beside them is told in ``passes``.
"""

import re

from flopledger.logs.readers.prose.numbers import NUMBER, SCALE
from flopledger.logs.readers.prose.parts import DEVICE, PART, Figure

_SIZE = r"\d{1,4}(?:\.\d{1,3})?\s?[BM]\b(?:[- ]parameters?)?"
_MODELS = r"(?:models|sizes|variants|versions|checkpoints|LLMs|runs)\b"
_SEVERAL = re.compile(
    rf"\b(?:all|both|these|those|several|various|multiple|different|two|three|four|five|six|seven|[2-9])\s"
    rf"(?:of\s)?(?:[\w-]{{1,20}}\s){{0,3}}?{_MODELS}"
    rf"|{_SIZE}(?:\s?[,/&]\s?(?:and\s)?|\s(?:and|or)\s){_SIZE}"
    r"|\b(?:model|entire|whole)\s(?:family|series|suite)\b|\b(?:family|suite|series)\sof\s(?:[\w-]+\s)?models\b"
    r"|\b(?:cumulative\w*|altogether|combined|in aggregate)\b",
    re.I,
)
_NAMED_SIZE = re.compile(r"(?<![\w.])\d{1,4}(?:\.\d{1,3})?\s?B(?=\s(?!tokens)|[,.)]|-\w|$)")
_TOKENS = re.compile(r"\btokens\b", re.I)
_EACH = re.compile(r"\beach\b|\bper model\b", re.I)
_RESPECTIVELY = re.compile(r"\brespectively\b", re.I)
_AMOUNTS = frozenset(
    {"tokens", "tokens_at_least", "tokens_of_passes_at_most", "tokens_of_all_passes", "passes"}
)
#: Of several models together, unless the sentence gives them for each.
_SUMS = frozenset(
    {"accelerator_seconds", "accelerator_seconds_at_least", "wall_seconds", "energy_joules"}
    | {"accelerator_count", "claimed_flop", "node_seconds", "core_seconds"}
)
_HELPER = (
    r"tokeni[sz]er|classifier|reward model|(?:vision|image|visual) (?:encoder|tower)|projector"
)
_OTHER_WORK = re.compile(
    r"\bablat\w+|\bproxy (?:models?|runs?)\b|\bpreliminary\b|\bpilot\b|\bdebug\w*|\bfailed\b|\bcrash\w+|"
    r"\bhyper-?parameter (?:search|sweeps?|tuning|optimi[sz]ation)\b|\bsweeps?\b|\bscaling laws?\b"
    r"|\btrain\w*\s(?:of\s)?(?:(?:a|an|the|our|its)\s)?(?:[\w-]{1,20}\s){0,2}?"
    rf"(?:{_HELPER}s?)\b"
    rf"|\b(?:{_HELPER})s?\s(?:was|were|is|are)\s(?:\w+\s)?train",
    re.I,
)
#: Work on data; such words stand in sentences on training, too, so that they count beside "took" alone.
_DATA_WORK = re.compile(
    r"\b(?:generat(?:ing|ion)|annotat\w+|label(?:l)?ing|filtering|scoring|pre-?processing|dedup\w+|curat\w+|"
    r"tokeni[sz](?:ing|ation)|transcri(?:bing|ption)|embedding|caption(?:ing)?|converting|conversion|"
    r"quanti[sz](?:ing|ation)|synthesi[sz]ing|rephrasing|decontaminati\w+)\b",
    re.I,
)
_TRAINING = re.compile(r"\b(?:pre-?|post-?|fine-?)?(?:train|tun)(?:ed|ing|s)?\b", re.I)
_EXPERTS = re.compile(
    r"\b(?:an?|our|the|this)\s(?:[\w.-]{1,30}\s){0,4}?(?:mixture[- ]of[- ]experts|MoE)\b"
    r"(?!\s(?:papers?|literature|support|baselines?|librar|kernels?|implementation|variants?|version))"
    r"|\b(?:mixture[- ]of[- ]experts|MoE)\s?(?:\(MoE\)\s)?(?:[\w-]{1,20}\s)?"
    r"(?:model|LLM|architecture|transformer|decoder)\b"
    r"|\bactivated? (?:parameters|params)\b|\bactive (?:parameters|params)\b"
    r"|\b\d[\d.]*\s?[BM]\s(?:are\s)?activated?\b"
    r"|\b(?:experts per token|routed experts|top-\d (?:routing|experts))\b",
    re.I,
)
#: Of another model, or of what this one is not.
_NOT_OF_IT = re.compile(
    r"\b(?:not|no|never|unlike|than|compar\w+|versus|vs|instead|whereas|dense|other|teacher|outperform\w*"
    r"|future|plan\w*)\b|n't",
    re.I,
)
_EQUIVALENT = re.compile(
    rf"{NUMBER}{SCALE}\s*{PART.pattern}[- ]equivalents?\s(?:{DEVICE}[ -])?(?:hours|days|years)",
    re.I,
)


def other_work(text: str) -> bool:
    """Say whether a sentence tells of other work than the training of the model itself."""
    if _OTHER_WORK.search(text) is not None:
        return True
    return _DATA_WORK.search(text) is not None and _TRAINING.search(text) is None


def of_one_model(text: str, figures: list[Figure]) -> list[Figure]:
    """Leave out what a sentence gives of several models, together or one after the other."""
    left_out: frozenset[str] = frozenset()
    if _RESPECTIVELY.search(text) is not None or _is_of_sizes(text, figures):
        left_out = _SUMS | _AMOUNTS
    elif _SEVERAL.search(text) is not None and _EACH.search(text) is None:
        left_out = _SUMS
    return [one for one in figures if one[0] not in left_out]


def _is_of_sizes(text: str, figures: list[Figure]) -> bool:
    """Say whether a sentence names another size behind an amount.

    "The 9B model was trained with 8T tokens, the 2B with 2T" tells of two, and not which one is meant.
    """
    first = _TOKENS.search(text)
    if first is None or not any(name in _AMOUNTS for name, _, _ in figures):
        return False
    sizes = [
        {one[0].replace(" ", "").upper() for one in _NAMED_SIZE.finditer(part)}
        for part in (text[: first.start()], text[first.end() :])
    ]
    return bool(sizes[0]) and bool(sizes[1] - sizes[0])


def has_experts(text: str) -> bool:
    """Say whether a sentence tells of a model that it is a mixture of experts."""
    return _EXPERTS.search(text) is not None and _NOT_OF_IT.search(text) is None


def equivalent_hours(text: str) -> str | None:
    """Give hours that are stated as another part's ("142K H100-equivalent hours")."""
    match = _EQUIVALENT.search(text)
    return None if match is None else match[0]
