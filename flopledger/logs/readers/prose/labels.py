"""The figures behind a label (``Training time: 7 days``), where the label tells what stands there."""

import re
from collections.abc import Callable

from flopledger import flop_words
from flopledger.logs.readers.prose import passes
from flopledger.logs.readers.prose.bounds import value_at_least
from flopledger.logs.readers.prose.figures import (
    FEWEST_TOKENS,
    TOKENS,
    device_hours,
    energy_figures,
    flop,
    precision,
    throughput,
    time,
    utilisation,
)
from flopledger.logs.readers.prose.numbers import NUMBER, SCALE, in_digits, leading, scaled
from flopledger.logs.readers.prose.parts import DEVICE, Figure, hardware

_MOST_PASSES = 10_000
_MOST_HOURS = 1e10  #: more have no devices to be spent on
_HOURS_ALONE = re.compile(
    rf"[~≈]?\s*(?:about |around |approx\w*\.? )?{NUMBER}{SCALE}\s*(?:GPU[- ]|TPU[- ])?"
    r"(h|hours?|hrs?|days?|weeks?)?\s*(?:\(.{0,80}\))?\s*[.;,]?\s*(?:(?:on|of|with|in total|total)\b.*)?",
    re.I,
)


def is_label(label: str) -> bool:
    """Say whether these words before a colon name a figure that is read."""
    return any(pattern.fullmatch(label.strip()) for pattern, _ in _LABELS)


def of_label(label: str, value: str) -> list[Figure]:
    """Give the figures behind a label (``Training time: 7 days``)."""
    text = in_digits(value)
    found = [
        one
        for pattern, take in _LABELS
        if pattern.fullmatch(label.strip())  # "Compute" may name the hardware or an amount
        for one in take(text)
    ]
    return list(dict.fromkeys(found))


def hours(value: str) -> float | int | None:
    """Give the hours that stand behind a label; ``None`` for words that are not understood whole."""
    match = _HOURS_ALONE.fullmatch(in_digits(value).strip())
    if match is None:
        return None
    number = scaled(match[1], match[2])
    unit = (match[3] or "h").lower()[0]
    total = number * {"h": 1, "d": 24, "w": 168}[unit]
    return total if 0 < total < _MOST_HOURS else None


def _labelled_tokens(value: str, *, is_all: bool = False) -> list[Figure]:
    bound = value_at_least(value)
    if bound is not None:
        found = leading(bound)
        least = 0.0 if found is None else scaled(*found)
        return [("tokens_at_least", least, "tokens")] if least >= FEWEST_TOKENS else []
    found = leading(value)
    number = 0.0 if found is None else scaled(*found)
    return passes.labelled(value, number, is_all=is_all) if number >= FEWEST_TOKENS else []


def _labelled_total(value: str) -> list[Figure]:
    return _labelled_tokens(value, is_all=True)


def _labelled_passes(value: str) -> list[Figure]:
    found = leading(value)
    number = 0.0 if found is None else scaled(*found)
    return [("passes", number, "epochs")] if passes.SEVERAL <= number <= _MOST_PASSES else []


def _labelled_data(value: str) -> list[Figure]:
    match = TOKENS.search(value)
    number = 0.0 if match is None else scaled(match[1], match[2])
    return [("dataset_tokens", number, "tokens")] if number >= FEWEST_TOKENS else []


def _labelled_parameters(value: str) -> list[Figure]:
    found = leading(value)
    number = 0.0 if found is None else scaled(*found)
    return [("parameters", number, "parameters")] if number >= FEWEST_TOKENS else []


def _labelled_length(value: str) -> list[Figure]:
    found = leading(value)
    number = 0.0 if found is None else scaled(*found)
    return [("sequence_length", int(number), "tokens")] if 16 <= number <= 1e7 else []


def _labelled_share(value: str) -> list[Figure]:
    match = re.match(rf"{NUMBER}\s*(%)?", value)
    if match is None:
        return []
    number = float(match[1].replace(",", "")) / (100 if match[2] else 1)
    return [("claimed_mfu", number, "1")] if number <= 1.5 else []


def _labelled_hours(value: str) -> list[Figure]:
    found = leading(value)
    return [] if found is None else [("accelerator_seconds", scaled(*found) * 3600, "s")]


def _flop_of_label(value: str) -> list[Figure]:
    """Give the amount behind a label that may hold the unit itself: "Training compute (FLOP): 3e24"."""
    bare = re.fullmatch(
        r"~?\s*(\d{1,3}(?:\.\d{1,6})?e\+?\d\d)\s*\.?", flop_words.spelled(value.strip()), re.I
    )
    return [("claimed_flop", float(bare[1]), "FLOP")] if bare is not None else flop(value)


def _labelled_throughput(value: str) -> list[Figure]:
    return [*throughput(value), *utilisation(value)]


_Take = Callable[[str], list[Figure]]
_LABELS: tuple[tuple[re.Pattern[str], _Take], ...] = tuple(
    (re.compile(pattern, re.I), take)
    for pattern, take in (
        (
            r"total (?:training |trained |pre-?training )?tokens(?: \w+)*"
            r"|(?:training |number of )?tokens (?:during|seen|processed)\b.*",
            _labelled_total,
        ),
        (
            r"(?:number of |num )?(?:training |trained |train |pre-?training )?tokens"
            r"(?: (?:trained|for|in)\b.*)?|trained on",
            _labelled_tokens,
        ),
        (
            r"(?:total |number of |num |training |pre-?training |num_|num_train_)*"
            r"(?:epochs|passes(?: over (?:the )?data)?)",
            _labelled_passes,
        ),
        (
            r"(?:combined |total |training |pre-?training )*(?:data|data ?set|corpus)(?: size)?",
            _labelled_data,
        ),
        (
            r"(?:total |model |number of |num )*(?:parameters?|params?)|model size",
            _labelled_parameters,
        ),
        (
            r"(?:training |max )?(?:sequence|seq\.?)[ _-]?len(?:gth)?|block[ _]size",
            _labelled_length,
        ),
        (
            r"(?:training |number of )?(?:hardware|accelerators?|devices|gpus?|tpus?|compute|infrastructure)"
            r"(?: type| used)?",
            hardware,
        ),
        (
            r"(?:total |overall )?(?:pre-?|fine-?)?(?:train\w*|tuning|wall[- ]?clock|run) "
            r"?(?:time|duration|took)"
            r"|duration|runtime|training",
            lambda value: [*device_hours(value), *time(value), *hardware(value)],
        ),
        (r"MFU|model flops? utili[sz]ation(?: \(MFU\))?", _labelled_share),
        (
            rf"(?:total |cumulative )?(?:training )?(?:{DEVICE}|A100|H100|V100|H800|TPU\S*)[ -]hours?"
            r"(?: used)?",
            _labelled_hours,
        ),
        (r"(?:training )?(?:throughput|speed)(?: performance)?", _labelled_throughput),
        (
            r"(?:total |training |pre-?training )*(?:flops?|compute)(?: used| budget)?(?: \(flops?\))?",
            _flop_of_label,
        ),
        (
            r"(?:total |training )*(?:energy|electricity|power)(?: (?:usage|use|used|consumption|consumed))?",
            energy_figures,
        ),
        (r"(?:training |mixed )?(?:precision|dtype)", precision),
    )
)
