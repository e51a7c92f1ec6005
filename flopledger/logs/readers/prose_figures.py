"""The figures inside one sentence, or behind one label: amounts, devices, times, rates.

A figure is taken only where its unit stands beside it. What reads like a figure of the run and is one
of something else (tokens of a batch, of a context window, of a data set; hours of all devices; GPUs a
node) is told apart by the words around it, or not taken.
"""

import re
from collections.abc import Callable
from functools import cache
from itertools import islice

from flopledger import flop_words

Figure = tuple[str, float | int | str, str | None]  #: name, value, unit

#: The end of another number ("1.5e6", "10^6") is none.
_N = (
    r"(?<![\d.,^])(?<!\d[eE])(?<!\d[eE][+-])"
    r"(\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,9})?|\d{1,15}(?:\.\d{1,9})?(?:[eE]\+?\d{1,2})?)"
)
_POWER_OF_TEN = re.compile(
    r"(?<![\d.,^])(?:(\d{1,9}(?:\.\d{1,9})?)\s*x\s*)?10\^\{?(\d{1,2})\}?(?![\d.])"
)
_SCALES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12} | {
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
    "": 1.0,
}
_IN_DIGITS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "sixteen": "16", "twenty": "20",
    "thirty-two": "32", "sixty-four": "64",
}  # fmt: skip
_SCALE = r"\s?(thousand|million|billion|trillion|[kKMBT](?![A-Za-z]))?"
_PART = re.compile(
    r"(?:(?:NVIDIA|AMD|Intel|Google|Cloud|Tesla|GeForce|Instinct|Habana|AWS|Huawei|Quadro)[ -]+)*"
    r"(?:GB300|GB200|GH200|B300|B200|H800|H200|H100|H20\b|A800|A100|V100|P100|T4|L40S?|L4|A10G?|A30|A40"
    r"|RTX[ -]?(?:PRO[ -]?)?A?\d{4}(?:[ -]?(?:Ti|SUPER|Ada))?|A[4-6]000|MI\d{3}[AX]?|Gaudi[ -]?\d"
    r"|TPU[ -]?v\d\w*(?:-\d+)?(?:[ -]cores?\b)?|Trillium"
    r"|Trainium\d?|Titan[ -](?:RTX|Xp?|V)|Ascend[ -]?910\w*)"
    r"(?:[ -]*(?:SXM\d?|PCI-?e|NVL|OAM|\(?\d{2,3} ?Gi?B?s?\b\)?))*",
    re.I,
)
_DEVICE = r"(?:GPU|TPU|chip|card|device|accelerator|HPU|NPU)s?"
_COUNT_BEFORE = re.compile(
    r"(?<![\w.,-])(\d{1,3}(?:,\d{3})+|\d{1,6}|a single|single|one)\s*(?:x\s*)?$", re.I
)
#: "96 x 8 A100": nodes and devices of each.
_PRODUCT = re.compile(r"(?<![\w.,-])(\d{1,5})\s*x\s*(\d{1,2})\s*(?:x\s*)?$", re.I)
_COUNT_AFTER = re.compile(
    rf"^s?\s*(?:{_DEVICE}\s*)?(?:x\s*(\d{{1,6}})\b|\(\s*x?\s*(\d{{1,6}})\s*x?\s*(?:{_DEVICE})?\s*\))",
    re.I,
)
_NODES = re.compile(
    r"(\d{1,6})\s*(?:x\s*)?(?:\w+\s)?(?:nodes?|machines?|servers?|hosts?|instances?)\b", re.I
)
_EACH = re.compile(r"\b(?:each|per (?:node|machine|server|host))\b|/node", re.I)
_HOURS_OF = re.compile(rf"s?[ -]*(?:{_DEVICE})?[ -]*(?:hours?|hrs|days)\b", re.I)
_TIME = re.compile(rf"(?<![\d.,–-]){_N}\s*-?(weeks?|days?|hours?|hrs?|h|minutes?|mins?)\b", re.I)
_LASTED = re.compile(
    r"(?:for|took|taking|takes|in|over|lasted|lasting|during|ran|was|is)\s+(?:about|approx\w*\.?|around|"
    r"roughly|nearly|a total of|total of|just|only|some|under)?\s*$",
    re.I,
)
_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0}
_DEVICE_HOURS = re.compile(
    rf"{_N}{_SCALE}\s*(?:total\s+|cumulative\s+)?(?:{_PART.pattern}[ -]*)?(?:{_DEVICE})?[ -]?"
    r"(hours?|hrs|days?)\b",
    re.I,
)
_TOKENS = re.compile(rf"{_N}{_SCALE}\s*(?:[a-z-]+\s+){{0,2}}?tokens\b", re.I)
_NOT_TOTAL = re.compile(
    r"batch|context|sequence|window|vocab|length|per |every|steps? of|/\s?(?:s|step|gpu)|chunk",
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
    rf"{_N}{_SCALE}\s*(?:tokens?|toks?)\s*(?:/|per)\s*(?:s|sec|seconds?)\s*(?:/|per)\s*"
    rf"(?:{_DEVICE}|{_PART.pattern})",
    re.I,
)
_UTILISATION = re.compile(
    rf"{_N}\s*%\s*\(?(MFU|HFU|(?:model|hardware) flops? utili[sz]ation)"
    rf"|\b(MFU|HFU|(?:model|hardware) flops? utili[sz]ation)\b\)?[^.;%\d]{{0,20}}{_N}\s*%",
    re.I,
)
_RATE = re.compile(
    rf"{_N}\s*(?:T|tera)FLOPs?\s*(?:/\s?s(?:ec)?)?\s*(?:/|per)\s*(?:{_DEVICE}|{_PART.pattern})\b",
    re.I,
)
_ENERGY = re.compile(rf"{_N}{_SCALE}\s*([kMG])Wh\b")
_ENERGY_WORDS = re.compile(r"energy|electric|consum|used|usage|using|draw", re.I)
_JOULES = {"k": 3.6e6, "M": 3.6e9, "G": 3.6e12}
_PARAMETERS = re.compile(rf"{_N}{_SCALE}[ -]?(?:parameters?|params?)\b", re.I)
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
#: "one" alone is a pronoun; before an amount, a time or a device it is a number.
_WORDS = re.compile(
    rf"\b({'|'.join(sorted(_IN_DIGITS, key=len, reverse=True))})"
    rf"(?=[ -](?:hundred |thousand|million|billion|trillion|hours?\b|days?\b|weeks?\b|{_DEVICE}\b|nodes?\b"
    rf"|machines?\b|servers?\b|{_PART.pattern}))",
    re.I,
)
#: Another number of devices in the same words: reserved, in use, spare.
_OTHER_COUNT = re.compile(rf"(?<![\w.])(\d{{1,6}})\s*{_DEVICE}\b(?!\s*(?:each|per|/))", re.I)
_PARTS = 6  #: names of parts that one sentence is searched for
_SAME_TIME = 1.1  #: two figures of a sentence this near are one time, said in two units
_MOST_HOURS = 1e10  #: more have no devices to be spent on
_FEWEST_TOKENS = 1e6  #: fewer are of a batch, a window or an answer


def of_sentence(text: str) -> list[Figure]:
    """Give the figures that a sentence about training states."""
    text = in_digits(text)
    found = [*_device_hours(text), *_tokens(text), *_throughput(text), *_utilisation(text)]
    found += [*_flop(text), *_rate(text), *_energy(text), *_hardware(text), *_trained_in(text)]
    found += _time(text, after=_LASTED)
    return [*found, *of_model(text)]


def of_model(text: str) -> list[Figure]:
    """Give what a sentence says of the model itself, training or not."""
    found: list[Figure] = []
    for match in _PARAMETERS.finditer(text):
        value = _scaled(match[1], match[2])
        words = text[max(0, match.start() - 30) : match.start()].lower()
        if value >= _FEWEST_TOKENS and not any(word in words for word in _OTHER_PARAMETERS):
            found.append(("parameters", value, "parameters"))
    return found


def in_digits(text: str) -> str:
    """Write numbers one way: "two weeks" as "2 weeks", "1.2 x 10^6 GPU hours" as "1.2e6 GPU hours"."""
    text = _POWER_OF_TEN.sub(lambda match: f"{match[1] or 1}e{match[2]}", text)
    return _WORDS.sub(lambda match: _IN_DIGITS[match[1].lower()], text)


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


def _scaled(number: str, scale: str | None) -> float:
    value = float(number.replace(",", "")) * _SCALES[(scale or "").lower()]
    return round(value) if value >= 1000 else value


def _tokens(text: str) -> list[Figure]:
    found: list[Figure] = []
    for match in _TOKENS.finditer(text):
        value = _scaled(match[1], match[2])
        before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() :][:15]
        if value < _FEWEST_TOKENS or _NOT_TOTAL.search(before) or _NOT_TOTAL.match(after.lstrip()):
            continue
        if _UNIQUE.search(match[0]):
            found.append(("dataset_tokens", value, "tokens"))  # of one pass
            continue
        is_total = _TRAINED_ON.search(text[: match.start()]) is not None
        if not is_total and _DATA.search(text) is None:
            continue
        found.append(("tokens" if is_total else "dataset_tokens", value, "tokens"))
    return found


def _device_hours(text: str) -> list[Figure]:
    found: list[Figure] = []
    for match in _DEVICE_HOURS.finditer(text):
        words = match[0]
        if not re.search(rf"{_DEVICE}|{_PART.pattern}", words, re.I):
            continue  # hours by the clock
        unit = 86_400 if match[3].lower().startswith("d") else 3_600
        value = _scaled(match[1], match[2])
        if _COUNT_OF_PART.fullmatch(words):
            continue
        found.append(("accelerator_seconds", value * unit, "s"))
        part = _PART.search(words)
        name = "" if part is None else part[0].strip(" -(").removesuffix("s")
        if name and _is_part(name):
            found.append(("accelerator", name, None))
    return found


#: "8 A100 days" is eight device-days; "8x A100, 3 days" is not met here, the comma stands between.
_COUNT_OF_PART = re.compile(rf"{_N}x\s*{_PART.pattern}.*", re.I)


def _time(text: str, after: re.Pattern[str] | None = None) -> list[Figure]:
    """Give the durations; in a sentence only those ``after`` a word that says what lasted."""
    plain = _DEVICE_HOURS.sub(lambda m: "" if re.search(_DEVICE, m[0], re.I) else m[0], text)
    plain = re.sub(rf"{_PART.pattern}[ -](?:hours?|days?)", "", plain, flags=re.I)
    found = [one for one in _TIME.finditer(plain) if not _not_of_the_run(plain, one)]
    if after is not None and (not found or not after.search(plain[: found[0].start()])):
        return []
    if not found:
        return []
    units = [match[2].lower()[0] for match in found]
    if len(found) > 1 and len(set(units)) != len(units):
        return [("wall_seconds", _seconds(match), "s") for match in found]
    lasted = [_seconds(match) for match in found]
    if len(lasted) > 1 and max(lasted) <= min(lasted) * _SAME_TIME:
        return [("wall_seconds", lasted[0], "s")]  # "14 days (336 hours)": the same time again
    # "3 minutes 39 seconds", "1 day 4 hours": one duration in two units.
    return [("wall_seconds", sum(_seconds(match) for match in found), "s")]


def _not_of_the_run(text: str, match: re.Match[str]) -> bool:
    before, after = text[: match.start()].rstrip(), text[match.end() :].lstrip()
    return (
        re.search(r"\b(?:every|each|per|last|past|within|of)(?: the)?$", before, re.I) is not None
        or re.match(r"ago\b|per\b|/|each\b|old\b|of (?!training)", after, re.I) is not None
    )


def _seconds(match: re.Match[str]) -> float:
    return float(match[1].replace(",", "")) * _SECONDS[match[2].lower()[0]]


def _throughput(text: str) -> list[Figure]:
    return [
        ("tokens_per_second_per_accelerator", _scaled(match[1], match[2]), "tokens/s")
        for match in _THROUGHPUT.finditer(text)
    ]


def _utilisation(text: str) -> list[Figure]:
    found: list[Figure] = []
    for match in _UTILISATION.finditer(text):
        word, figure = (match[2], match[1]) if match[1] else (match[3], match[4])
        name = "claimed_hfu" if word.lower().startswith("h") else "claimed_mfu"
        found.append((name, float(figure.replace(",", "")) / 100, "1"))
    return found


def _flop(text: str) -> list[Figure]:
    return [("claimed_flop", one, "FLOP") for one in flop_words.amounts(text)]


def _rate(text: str) -> list[Figure]:
    name = "claimed_flop_per_second_per_accelerator"
    rates = [float(match[1].replace(",", "")) * 1e12 for match in _RATE.finditer(text)]
    return [(name, one, "FLOP/s") for one in rates]


def _energy(text: str) -> list[Figure]:
    if not _ENERGY_WORDS.search(text):
        return []
    return _labelled_energy(text)


def _labelled_energy(value: str) -> list[Figure]:
    return [
        ("energy_joules", _scaled(match[1], match[2]) * _JOULES[match[3]], "J")
        for match in _ENERGY.finditer(value)
        if not re.match(r"\s*(?:/|per\b)", value[match.end() :])
    ]


def _trained_in(text: str) -> list[Figure]:
    match = _TRAINED_IN.search(text)
    return [("precision", _PRECISIONS[match[1].lower()], None)] if match else []


def _precision(text: str) -> list[Figure]:
    names = {_PRECISIONS[word.lower()] for word in _PRECISION.findall(text)}
    return [("precision", name, None) for name in names] if len(names) == 1 else []


def _hardware(text: str) -> list[Figure]:
    found: list[Figure] = []
    for match in islice(_PART.finditer(text), _PARTS):
        name = match[0].strip(" -(").removesuffix("s")
        if not _is_part(name) or _HOURS_OF.match(text[match.end() :]):
            continue
        found.append(("accelerator", name, None))
        count = _of_slice(text, match) or _count(text, match)
        if count is not None:
            found.append(("accelerator_count", count, "devices"))
    return found


def _of_slice(text: str, match: re.Match[str]) -> int | None:
    """Give the chips of the one slice that a sentence names ("a TPU v4-512" has 256)."""
    name = re.fullmatch(r".*?(v\d[ep]?-\d+)", match[0].strip(), re.I)
    before = _COUNT_BEFORE.search(text[max(0, match.start() - 24) : match.start()])
    if name is None or "TPU" not in match[0].upper() or before is not None:
        return None
    if re.match(r"\s*(?:slices|pods|s\b)", text[match.end() :], re.I):
        return None  # of several slices nobody knows how many
    import hardware_db

    try:
        return int(hardware_db.instance(name[1].lower()).count)
    except hardware_db.HardwareError:
        return None


def _count(text: str, match: re.Match[str]) -> int | None:
    """Give how many of the part the text states, all nodes together."""
    before = _COUNT_BEFORE.search(text[max(0, match.start() - 24) : match.start()])
    after = _COUNT_AFTER.match(text[match.end() :][:30])
    if before is None and after is None:
        product = _PRODUCT.search(text[max(0, match.start() - 24) : match.start()])
        return None if product is None else int(product[1]) * int(product[2])
    if before is not None:
        word = before[1].lower()
        count = 1 if word in ("a single", "single", "one") else int(word.replace(",", ""))
    elif after is not None:
        count = int(after[1] or after[2])
    else:
        return None
    product = _PRODUCT.search(text[max(0, match.start() - 24) : match.start()])
    if product is not None:
        count = int(product[1]) * int(product[2])
    others = {int(one[1]) for one in _OTHER_COUNT.finditer(text[match.end() :])}
    nodes = _NODES.search(text)
    if others - {count, count * int(nodes[1]) if nodes else count}:
        return None  # "416 A100 GPUs, using 384 gpus": which of them worked is for people to say
    if nodes is not None:
        number = int(nodes[1])
        inside = re.match(
            r"\s*(?:of|with|,?\s*each|\(|x|having|containing)", text[nodes.end() :], re.I
        )
        if nodes.end() <= match.start() and inside is not None:
            return count * number
        if _EACH.search(text) and nodes.end() <= match.start():
            return count * number
        return count if number and count > number and count % number == 0 else None
    return None if _EACH.search(text) or not count else count


@cache
def _is_part(name: str) -> bool:
    import hardware_db

    try:
        hardware_db.identify(name)
    except hardware_db.AmbiguousAccelerator:
        return True
    except hardware_db.HardwareError:
        return False
    return True


def _first(pattern: re.Pattern[str], value: str) -> tuple[str, str | None] | None:
    match = pattern.match(value)
    return None if match is None else (match[1], match[2])


_LEADING = re.compile(rf"(?:around|about|approx\w*\.?|roughly|total:?)?\s*{_N}{_SCALE}", re.I)


def _labelled_tokens(value: str) -> list[Figure]:
    found = _first(_LEADING, value)
    number = 0.0 if found is None else _scaled(*found)
    return [("tokens", number, "tokens")] if number >= _FEWEST_TOKENS else []


def _labelled_data(value: str) -> list[Figure]:
    match = _TOKENS.search(value)
    number = 0.0 if match is None else _scaled(match[1], match[2])
    return [("dataset_tokens", number, "tokens")] if number >= _FEWEST_TOKENS else []


def _labelled_parameters(value: str) -> list[Figure]:
    found = _first(_LEADING, value)
    number = 0.0 if found is None else _scaled(*found)
    return [("parameters", number, "parameters")] if number >= _FEWEST_TOKENS else []


def _labelled_length(value: str) -> list[Figure]:
    found = _first(_LEADING, value)
    number = 0.0 if found is None else _scaled(*found)
    return [("sequence_length", int(number), "tokens")] if 16 <= number <= 1e7 else []


def _labelled_share(value: str) -> list[Figure]:
    match = re.match(rf"{_N}\s*(%)?", value)
    if match is None:
        return []
    number = float(match[1].replace(",", "")) / (100 if match[2] else 1)
    return [("claimed_mfu", number, "1")] if number <= 1.5 else []


def _labelled_hours(value: str) -> list[Figure]:
    found = _first(_LEADING, value)
    return [] if found is None else [("accelerator_seconds", _scaled(*found) * 3600, "s")]


def _flop_of_label(value: str) -> list[Figure]:
    """Give the amount behind a label that may hold the unit itself: "Training compute (FLOP): 3e24"."""
    bare = re.fullmatch(
        r"~?\s*(\d{1,3}(?:\.\d{1,6})?e\+?\d\d)\s*\.?", flop_words.spelled(value.strip()), re.I
    )
    return [("claimed_flop", float(bare[1]), "FLOP")] if bare is not None else _flop(value)


_HOURS_ALONE = re.compile(
    rf"[~≈]?\s*(?:about |around |approx\w*\.? )?{_N}{_SCALE}\s*(?:GPU[- ]|TPU[- ])?"
    r"(h|hours?|hrs?|days?|weeks?)?\s*(?:\(.{0,80}\))?\s*[.;,]?\s*(?:(?:on|of|with|in total|total)\b.*)?",
    re.I,
)


def hours(value: str) -> float | int | None:
    """Give the hours that stand behind a label; ``None`` for words that are not understood whole."""
    match = _HOURS_ALONE.fullmatch(in_digits(value).strip())
    if match is None:
        return None
    number = _scaled(match[1], match[2])
    unit = (match[3] or "h").lower()[0]
    total = number * {"h": 1, "d": 24, "w": 168}[unit]
    return total if 0 < total < _MOST_HOURS else None


def _labelled_throughput(value: str) -> list[Figure]:
    return [*_throughput(value), *_utilisation(value)]


_Take = Callable[[str], list[Figure]]
_LABELS: tuple[tuple[re.Pattern[str], _Take], ...] = tuple(
    (re.compile(pattern, re.I), take)
    for pattern, take in (
        (
            r"(?:total |number of |num )?(?:training |trained |train |pre-?training )?tokens"
            r"(?: (?:during|seen|trained|processed|for|in)\b.*)?|trained on",
            _labelled_tokens,
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
            r"(?:training )?(?:hardware|accelerators?|devices|gpus?|tpus?|compute|infrastructure)"
            r"(?: type| used)?",
            _hardware,
        ),
        (
            r"(?:total |overall )?(?:pre-?|fine-?)?(?:train\w*|tuning|wall[- ]?clock|run) "
            r"?(?:time|duration|took)"
            r"|duration|runtime|training",
            lambda value: [*_device_hours(value), *_time(value), *_hardware(value)],
        ),
        (r"MFU|model flops? utili[sz]ation(?: \(MFU\))?", _labelled_share),
        (
            rf"(?:total |cumulative )?(?:training )?(?:{_DEVICE}|A100|H100|V100|H800|TPU\S*)[ -]hours?"
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
            _labelled_energy,
        ),
        (r"(?:training |mixed )?(?:precision|dtype)", _precision),
    )
)
