"""The part that a sentence names, and how many of it."""

import re
from functools import cache
from itertools import islice

Figure = tuple[str, float | int | str, str | None]  #: name, value, unit
PART = re.compile(
    r"(?:(?:NVIDIA|AMD|Intel|Google|Cloud|Tesla|GeForce|Instinct|Habana|AWS|Huawei|Quadro)[ -]+)*"
    r"(?:GB300|GB200|GH200|B300|B200|H800|H200|H100|H20\b|A800|A100|V100|P100"
    r"|(?<![A-WYZ])(?:T4|L40S?|L4|A10G?|A30|A40)"  # "INT4" names no part; "8xT4" does
    r"|RTX[ -]?(?:PRO[ -]?)?A?\d{4}(?:[ -]?(?:Ti|SUPER|Ada))?|A[4-6]000|MI\d{3}[AX]?|Gaudi[ -]?\d"
    r"|TPU[ -]?v\d\w*(?:-\d+)?(?:[ -]cores?\b)?|Trillium"
    r"|Trainium\d?|Titan[ -](?:RTX|Xp?|V)|Ascend[ -]?910\w*)"
    r"(?:[ -]*(?:SXM\d?|PCI-?e|NVL|OAM|\(?\d{2,3} ?Gi?B?s?\b\)?))*",
    re.I,
)
DEVICE = r"(?:GPU|TPU|chip|card|device|accelerator|HPU|NPU)s?"
_COUNT_BEFORE = re.compile(
    r"(?<![\w.,-])(\d{1,3}(?:,\d{3})+|\d{1,6}|a single|single|one)\s*(?:x\s*)?$", re.I
)
#: "96 x 8 A100": nodes and devices of each.
_PRODUCT = re.compile(r"(?<![\w.,-])(\d{1,5})\s*x\s*(\d{1,2})\s*(?:x\s*)?$", re.I)
_COUNT_AFTER = re.compile(
    rf"^s?\s*(?:{DEVICE}\s*)?(?:x\s*(\d{{1,6}})\b|\(\s*x?\s*(\d{{1,6}})\s*x?\s*(?:{DEVICE})?\s*\))",
    re.I,
)
#: "768 DGX H100 nodes": the digits of a name are no number of nodes.
_NODES = re.compile(
    rf"(?<![\w.,])(\d{{1,6}})\s*(?:x\s*)?(?:(?:[DH]GX|{PART.pattern})\s){{0,2}}(?:[A-Za-z][\w-]*\s)?"
    r"(?:nodes?|machines?|servers?|hosts?|instances?)\b",
    re.I,
)
_EACH = re.compile(r"\b(?:each|per (?:node|machine|server|host))\b|/node", re.I)
_HOURS_OF = re.compile(
    rf"s?[ -]{{0,3}}(?:{DEVICE})?[ -]{{0,3}}(?:seconds?|minutes?|hours?|hrs|h|days?|weeks?|months?|years?)\b",
    re.I,
)
#: Another number of devices in the same words: reserved, in use, spare.
_OTHER_COUNT = re.compile(
    rf"(?<![\w.,])(\d{{1,6}})\s*{DEVICE}\b(?!\s*(?:each|per|/))"
    r"(?![ -]?(?:hours?|hrs|h|days?|weeks?|months?|years?)\b)",
    re.I,
)
#: "142K H100-equivalent hours": a measure, and no part that worked.
_MEASURE = re.compile(r"[ -]?(?:equivalent|equiv\.?|eq\.?)\b", re.I)
_PARTS = 6  #: names of parts that one sentence is searched for


def hardware(text: str) -> list[Figure]:
    """Give the parts that a text names, each with how many of it."""
    found: list[Figure] = []
    for match in islice(PART.finditer(text), _PARTS):
        name = match[0].strip(" -(").removesuffix("s")
        if not is_part(name) or _HOURS_OF.match(text[match.end() :]):
            continue
        if _MEASURE.match(text[match.end() :]):
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
def is_part(name: str) -> bool:
    """Say whether the hardware database knows a name, if only as one of several parts."""
    import hardware_db

    try:
        hardware_db.identify(name)
    except hardware_db.AmbiguousAccelerator:
        return True
    except hardware_db.HardwareError:
        return False
    return True
