"""The figures inside one sentence: amounts, devices, times, rates.

A figure is taken only where its unit stands beside it. What reads like a figure of the run and is one
of something else (tokens of a batch, of a context window, of a data set; hours of all devices; GPUs a
node) is told apart by the words around it, or not taken.
"""

import re
from itertools import pairwise

from flopledger import flop_words
from flopledger.logs.readers.prose import passes
from flopledger.logs.readers.prose.bounds import MARK
from flopledger.logs.readers.prose.numbers import MORE, NUMBER, SCALE, in_digits, scaled
from flopledger.logs.readers.prose.parts import DEVICE, PART, Figure, hardware, is_part
from flopledger.logs.readers.prose.products import node_hours, tokens_of_steps
from flopledger.logs.readers.prose.scope import of_one_model

_TIME = re.compile(
    rf"(?<![\d.,–-]){NUMBER}\s*-?(?:wall[- ]?clock\s)?(weeks?|days?|hours?|hrs?|h|minutes?|mins?)\b",
    re.I,
)
_LASTED = re.compile(
    r"(?:for|took|taking|takes|in|over|lasted|lasting|during|ran|was|is)\s+(?:about|approx\w*\.?|around|"
    r"roughly|nearly|a total of|total of|just|only|some|under)?\s*$",
    re.I,
)
_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0}
_DEVICE_HOURS = re.compile(
    rf"{NUMBER}{SCALE}\s*(?:total\s+|cumulative\s+)?(?:{PART.pattern}[ -]*)?(?:{DEVICE})?[ -]?"
    r"(hours?|hrs|h|days?|weeks?|months?|years?)\b",
    re.I,
)
_DEVICE_UNITS = {"h": 3_600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_557_600.0} | {
    "m": 31_557_600.0 / 12
}
_CLAUSE = 120  #: characters before a figure that may tell what it is of
#: A pace and no amount: "180K GPU hours per trillion tokens", "each epoch took 200 GPU hours".
_PER_AFTER = re.compile(
    r"\s*(?:of (?:compute|training|computation)\s*)?(?:\(.{0,40}\)\s*)?"
    r"(?:/|per\b|(?:for |on )?(?:each|every)\b"
    r"|(?:for|on) (?:a|one) (?:single )?(?:epoch|trillion|billion|million|stage|step)\b)",
    re.I,
)
_PER_BEFORE = re.compile(
    r"\b(?:each|every|per|an|a single) (?:[\w-]{1,30} ){0,2}?"
    r"(?:epoch|stage|phase|step|iteration|seed|fold|trial|experiment|trillion|billion|million)\b"
    r"(?! and\b)[^;.]{0,60}$",
    re.I,
)
#: "277 GPU hours (wall clock)", "GPU hours of wall-clock time": the clock's, by the words' own account.
_BY_THE_CLOCK = re.compile(
    r"\s*(?:\(\s*|of\s)(?:wall[- ]?clock|elapsed)(?:\s(?:time|hours))?\s*(?=[).,;]|$)", re.I
)
_CORES = re.compile(r"\bcores?\b", re.I)
TOKENS = re.compile(
    rf"{NUMBER}{SCALE}(?!\s?{MORE})\s*(?:(?!{MORE})[a-z-]+\s+){{0,2}}?tokens\b", re.I
)
_NOT_TOTAL = re.compile(
    r"\bof which\b|\bincluding\b|epochs? of|batch|context|sequence|window|vocab|length|per |every"
    r"|steps? of|/\s?(?:s|step|gpu)|chunk",
    re.I,
)
_DATA = re.compile(
    r"\b(?:data ?sets?|corpus|corpora|training data|data size|contain\w*|compris\w*)\b", re.I
)
_UNIQUE = re.compile(r"\b(?:unique|distinct|deduplicated)\b", re.I)
_TRAINED_ON = re.compile(
    r"train(?:ed|ing)? (?!data|set|corpus)(?:(?!\bdata ?set\b|\bcorpus\b).){0,80}$", re.I
)
_THROUGHPUT = re.compile(
    rf"{NUMBER}{SCALE}\s*(?:tokens?|toks?)\s*(?:/|per)\s*(?:s|sec|seconds?)\s*(?:/|per)\s*"
    rf"(?:{DEVICE}|{PART.pattern})",
    re.I,
)
_UTILISATION = re.compile(
    rf"{NUMBER}\s*%\s*\(?(MFU|HFU|(?:model|hardware) flops? utili[sz]ation)"
    rf"|\b(MFU|HFU|(?:model|hardware) flops? utili[sz]ation)\b\)?[^.;%\d]{{0,20}}{NUMBER}\s*%",
    re.I,
)
_RATE = re.compile(
    rf"{NUMBER}\s*(?:T|tera)FLOPs?\s*(?:/\s?s(?:ec)?)?\s*(?:/|per)\s*(?:{DEVICE}|{PART.pattern})\b",
    re.I,
)
_ENERGY = re.compile(rf"{NUMBER}{SCALE}\s*([kMGT])Wh\b")
_ENERGY_WORDS = re.compile(r"energy|electric|consum|used|usage|using|draw", re.I)
_JOULES = {"k": 3.6e6, "M": 3.6e9, "G": 3.6e12, "T": 3.6e15}
_PARAMETERS = re.compile(rf"{NUMBER}{SCALE}[ -]?(?:parameters?|params?)\b", re.I)
#: "7B, 13B and 70B parameters" are of several models.
_LISTED_BEFORE = re.compile(
    r"\d(?:\s?[BM]|e\d{1,2})(?:\s?parameters)?\s?(?:\([^()]{1,20}\)\s?)?(?:[,/&]|and\b|or\b|und\b|et\b|y\b|e\b|和|及|与|と|및|과|와)\s?"
    r"(?:and\s|or\s|und\s|et\s|y\s|e\s|和|及)?$"
)
_LISTED_AFTER = re.compile(
    r"\s?(?:\([^()]{1,20}\)\s?)?(?:[,/&]|and\b|or\b|und\b|et\b|y\b|e\b|和|及|与|と|및|과|와)\s?(?:and\s|or\s)?\d[\d.]*(?:\s?[BM]\b|e\d{1,2})"
    r"(?=\s?[(,.;)]|\s?parameters|\s?(?:and|or|和|及|und|et|y|e)\b|\s?$)"
)
_PRECISIONS = {"bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16", "float16": "fp16", "fp8": "fp8"}
_PRECISION = re.compile(r"\b(bf16|bfloat16|fp16|float16|fp8)\b", re.I)
_OTHER_PARAMETERS = (
    "trainable",
    "active",
    "activat",
    "embedding",
    "under",
    "below",
    "over",
    "lora",
)
_TRAINED_IN = re.compile(
    r"\btrain(?:ed|ing)\b.{0,60}?\b(?:in|with|using) (?:full |pure |mixed |mixed[- ]precision )?"
    r"(bf16|bfloat16|fp16|float16|fp8)\b",
    re.I,
)
_APART = 8  #: characters between two durations that are two
_SAME_TIME = 1.1  #: two figures of a sentence this near are one time, said in two units
FEWEST_TOKENS = 1e6  #: fewer are of a batch, a window or an answer


def of_sentence(text: str) -> list[Figure]:
    """Give the figures that a sentence about the training of one model states."""
    return of_one_model(text, everything(text))


def everything(text: str) -> list[Figure]:
    """Give the figures of a sentence about training, also those of several models together."""
    text = passes.in_plural(in_digits(text))
    found = [*device_hours(text), *_tokens(text), *throughput(text), *utilisation(text)]
    if not any(name.startswith("tokens") for name, _, _ in found):
        of_steps = tokens_of_steps(text)
        found += of_steps
        found += [("tokens_of_all_passes", value, unit) for _, value, unit in of_steps]
    found += [*passes.figures(text), *node_hours(text)]
    found += [*flop(text), *_rate(text), *_energy(text), *hardware(text), *_trained_in(text)]
    found += time(text, after=_LASTED)
    return [*found, *of_model(text)]


def of_model(text: str) -> list[Figure]:
    """Give what a sentence says of the model itself, training or not."""
    found: list[Figure] = []
    for match in _PARAMETERS.finditer(text):
        value = scaled(match[1], match[2])
        words = text[max(0, match.start() - 30) : match.start()].lower()
        if _LISTED_BEFORE.search(text[: match.start()]) or _LISTED_AFTER.match(text[match.end() :]):
            continue
        if value >= FEWEST_TOKENS and not any(word in words for word in _OTHER_PARAMETERS):
            found.append(("parameters", value, "parameters"))
    return found


def _tokens(text: str) -> list[Figure]:
    found: list[Figure] = []
    times = passes.stated(text)
    if times >= passes.SEVERAL and (product := _of_passes(text, times)) is not None:
        return product
    for match, is_total in _amounts(text):
        value = scaled(match[1], match[2])
        if _UNIQUE.search(match[0]) or not is_total:
            found.append(("dataset_tokens", value, "tokens"))  # of one pass
            continue
        name = _bounded("tokens", text, match)
        whole = passes.is_total(text, match) or (
            times >= passes.SEVERAL and passes.beside(text, match, times) == "all passes"
        )
        if name == "tokens" and times >= passes.SEVERAL and not whole and not _UNIQUE.search(text):
            found += passes.either(value, times)
            if passes.are_passed_over(text, match):
                found.append(("dataset_tokens", value, "tokens"))
            continue
        found.append((name, value, "tokens"))
        if name == "tokens" and whole:
            found.append(("tokens_of_all_passes", value, "tokens"))
    return found


def _amounts(text: str) -> list[tuple[re.Match[str], bool]]:
    """List the amounts of a sentence, each with whether it is what was trained on, and not of a data set."""
    found = []
    for match in TOKENS.finditer(text):
        before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() :][:15]
        if scaled(match[1], match[2]) < FEWEST_TOKENS:
            continue
        if _NOT_TOTAL.search(before) or _NOT_TOTAL.match(after.lstrip()):
            continue
        is_total = _TRAINED_ON.search(text[: match.start()]) is not None
        if is_total or _DATA.search(text) is not None or _UNIQUE.search(match[0]) is not None:
            found.append((match, is_total))
    return found


def _of_passes(text: str, times: float) -> list[Figure] | None:
    """Multiply one data set's tokens by the passes over it, where the words settle that they are its."""
    every = [one for one in TOKENS.finditer(text) if scaled(one[1], one[2]) >= FEWEST_TOKENS]
    if len(every) != 1 or passes.beside(text, every[0], times) != "one pass":
        return None
    value = scaled(every[0][1], every[0][2])
    total = value * times
    return [
        (_bounded("tokens", text, every[0]), total, "tokens"),
        ("tokens_of_all_passes", total, "tokens"),
        ("dataset_tokens", value, "tokens"),
    ]


def device_hours(text: str) -> list[Figure]:
    """Give the device-hours, with the part that stands between number and unit."""
    found: list[Figure] = []
    for match in _DEVICE_HOURS.finditer(text):
        words = match[0]
        if not re.search(rf"{DEVICE}|{PART.pattern}", words, re.I):
            continue  # hours by the clock
        unit = _DEVICE_UNITS[match[3].lower()[0]]
        value = scaled(match[1], match[2])
        if _COUNT_OF_PART.fullmatch(words):
            continue
        if _is_pace(text, match):
            continue
        if _BY_THE_CLOCK.match(text[match.end() :]):
            name = "wall_seconds"
        elif _CORES.search(words):
            name = "core_seconds"
        else:
            name = _bounded("accelerator_seconds", text, match)
        found.append((name, value * unit, "s"))
        part = PART.search(words)
        model = "" if part is None else part[0].strip(" -(").removesuffix("s")
        if model and is_part(model):
            found.append(("accelerator", model, None))
    return found


def _is_pace(text: str, match: re.Match[str]) -> bool:
    """Say whether an amount is that of a part of the run, of which there were several."""
    return (
        _PER_AFTER.match(text[match.end() :]) is not None
        or _PER_BEFORE.search(text[max(0, match.start() - _CLAUSE) : match.start()]) is not None
    )


def _bounded(name: str, text: str, match: re.Match[str]) -> str:
    """Name a figure as a lower end where the text marks it as one."""
    return f"{name}_at_least" if text[max(0, match.start() - 1) :][:1] == MARK else name


#: "8 A100 days" is eight device-days; "8x A100, 3 days" is not met here, the comma stands between.
_COUNT_OF_PART = re.compile(rf"{NUMBER}x\s*{PART.pattern}.*", re.I)


def time(text: str, after: re.Pattern[str] | None = None) -> list[Figure]:
    """Give the durations; in a sentence only those ``after`` a word that says what lasted."""
    plain = _DEVICE_HOURS.sub(lambda m: "" if re.search(DEVICE, m[0], re.I) else m[0], text)
    plain = re.sub(
        rf"{PART.pattern}[ -](?:hours?|days?|weeks?|months?|years?)", "", plain, flags=re.I
    )
    found = [one for one in _TIME.finditer(plain) if not _not_of_the_run(plain, one)]
    if after is not None and (not found or not after.search(plain[: found[0].start()])):
        return []
    if not found:
        return []
    units = [match[2].lower()[0] for match in found]
    lasted = [_seconds(match) for match in found]
    if len(lasted) > 1 and max(lasted) <= min(lasted) * _SAME_TIME:
        return [("wall_seconds", lasted[0], "s")]  # "14 days (336 hours)": the same time again
    # "The data took 1 day, and the training 3 hours" are two durations, and no sum.
    apart = any(later.start() - earlier.end() > _APART for earlier, later in pairwise(found))
    if len(found) > 1 and (apart or len(set(units)) != len(units)):
        return [("wall_seconds", _seconds(match), "s") for match in found]
    # "3 minutes 39 seconds", "1 day 4 hours": one duration in two units.
    return [("wall_seconds", sum(_seconds(match) for match in found), "s")]


def _not_of_the_run(text: str, match: re.Match[str]) -> bool:
    before, after = text[: match.start()].rstrip(), text[match.end() :].lstrip()
    return (
        re.search(r"\b(?:every|each|per|last|past|within|of)(?: the)?$", before, re.I) is not None
        or re.match(r"ago\b|per\b|/|each\b|old\b|of (?!training)", after, re.I) is not None
        or _PER_BEFORE.search(before[-_CLAUSE:]) is not None
    )


def _seconds(match: re.Match[str]) -> float:
    return float(match[1].replace(",", "")) * _SECONDS[match[2].lower()[0]]


def throughput(text: str) -> list[Figure]:
    """Give the tokens a second and device."""
    return [
        ("tokens_per_second_per_accelerator", scaled(match[1], match[2]), "tokens/s")
        for match in _THROUGHPUT.finditer(text)
    ]


def utilisation(text: str) -> list[Figure]:
    """Give the utilisations, as shares."""
    found: list[Figure] = []
    for match in _UTILISATION.finditer(text):
        word, figure = (match[2], match[1]) if match[1] else (match[3], match[4])
        name = "claimed_hfu" if word.lower().startswith("h") else "claimed_mfu"
        found.append((name, float(figure.replace(",", "")) / 100, "1"))
    return found


def flop(text: str) -> list[Figure]:
    """Give the amounts of FLOP."""
    return [("claimed_flop", one, "FLOP") for one in flop_words.amounts(text)]


def _rate(text: str) -> list[Figure]:
    name = "claimed_flop_per_second_per_accelerator"
    rates = [float(match[1].replace(",", "")) * 1e12 for match in _RATE.finditer(text)]
    return [(name, one, "FLOP/s") for one in rates]


def _energy(text: str) -> list[Figure]:
    if not _ENERGY_WORDS.search(text):
        return []
    return energy_figures(text)


def energy_figures(value: str) -> list[Figure]:
    """Give the energies; a figure per something is a rate."""
    return [
        ("energy_joules", scaled(match[1], match[2]) * _JOULES[match[3]], "J")
        for match in _ENERGY.finditer(value)
        if not re.match(r"\s*(?:/|per\b)", value[match.end() :])
    ]


def _trained_in(text: str) -> list[Figure]:
    match = _TRAINED_IN.search(text)
    return [("precision", _PRECISIONS[match[1].lower()], None)] if match else []


def precision(text: str) -> list[Figure]:
    """Give the one precision that the words name."""
    names = {_PRECISIONS[word.lower()] for word in _PRECISION.findall(text)}
    return [("precision", name, None) for name in names] if len(names) == 1 else []
