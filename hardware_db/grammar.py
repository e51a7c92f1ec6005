"""Reading a device name word by word. Every word must be understood: nothing is skipped.

A name is a model ("h100") with qualifiers around it in any order: vendor, brand, form factor,
memory size and kind, generation, power, count. There is no substring match: "A100X" is not an A100
with something behind it but a model of its own, and "A100 Frobnicator" is nothing at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hardware_db.names import Names

MAX_NAME = 200
_SEPARATORS = " -_/()[],.;:\t"
_DROPPED = {"®": "", "™": "", "\u00a0": " ", "\u2010": "-", "\u2011": "-", "\u2013": "-"}
_VENDORS = {
    "nvidia": "NVIDIA", "nvidia corporation": "NVIDIA", "amd": "AMD", "google": "Google",
    "google cloud": "Google", "cloud": "Google", "intel": "Intel", "intel habana": "Intel",
    "habana": "Intel", "aws": "AWS", "amazon": "AWS", "huawei": "Huawei", "cerebras": "Cerebras",
    "apple": "Apple", "microsoft": "Microsoft", "meta": "Meta", "cambricon": "Cambricon",
    "moore threads": "Moore Threads", "graphcore": "Graphcore", "tesla motors": "Tesla",
}  # fmt: skip
_FAMILIES = {
    "kepler": "kepler", "maxwell": "maxwell", "pascal": "pascal", "volta": "volta",
    "turing": "turing", "ampere": "ampere", "ada": "ada", "lovelace": "ada",
    "ada lovelace": "ada", "hopper": "hopper", "grace hopper": "hopper",
    "blackwell": "blackwell", "blackwell ultra": "blackwell", "grace blackwell": "blackwell",
    "cdna": "cdna", "cdna2": "cdna2", "cdna3": "cdna3", "cdna4": "cdna4", "vega": "vega",
}  # fmt: skip
_FILLERS = (
    "gpu", "gpus", "accelerator", "accelerators", "card", "cards", "graphics", "graphics card",
    "tensor core", "tensor core gpu", "tensor core gpus", "chip", "chips", "generation", "cts",
    "tdp", "dlc", "liquid cooled", "air cooled", "ai accelerator", "gpu accelerator",
    "data center", "datacenter", "npu", "npus", "hpu", "hpus", "nvlink", "gen4", "gen5",
)  # fmt: skip
_MEMORY_KINDS = ("hbm2", "hbm2e", "hbm3", "hbm3e", "gddr5", "gddr5x", "gddr6", "gddr6x", "gddr7")
_SIZE = re.compile(r"([1-9]\d{0,3})(gb|gib|g)")
_POWER = re.compile(r"[1-9]\d{1,3}w(att|atts)?")
_COUNT_BEFORE = re.compile(r"\s*(\d{1,7})\s*(?:[x×*]\s*|\s)(?=\S)", re.IGNORECASE)
#: Slurm's generic resources: "gpu:a100:4" in a job, "gres/gpu:a100=4" in its account.
_GRES = re.compile(r"(?:gres/)?gpu[:/]((?!\d+$)[a-z0-9][^:=]*)(?:[:=](\d{1,7}))?")
_COUNT_AFTER = re.compile(
    r"\s*[(\[]?\s*[x×*]\s*(\d{1,7})\s*[)\]]?\s*$|\s(\d{1,3})-gpus?$",  # "HGX H100 8-GPU"
    re.IGNORECASE,
)
_SLICE = re.compile(r"[1-9]\d{0,5}")


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to understand a name: a model and what was said about it."""

    model: str
    vendors: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()  # brand and form factor words
    sizes: frozenset[float] = frozenset()
    kinds: frozenset[str] = frozenset()
    slice_of: int | None = None  # number behind a TPU generation


@dataclass(slots=True)
class Vocabulary:
    """All words that occur in some part's name, and the models they make."""

    models: dict[str, list[str]] = field(default_factory=dict)  # compact model -> part ids
    phrases: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # first letter -> items
    vendors: dict[str, str] = field(default_factory=lambda: dict(_VENDORS))

    @classmethod
    def of(cls, names: Iterable[Names]) -> Vocabulary:
        """The vocabulary of these parts together with the general words."""
        new = cls()
        items: dict[tuple[str, str], None] = {}
        for part in names:
            for model in part.models:
                new.models.setdefault(model, []).append(part.id)
                items[("model", model)] = None
            new.vendors.setdefault(part.vendor.lower(), part.vendor)
            for word in (*part.brands, *part.forms, *part.forms_beside):
                items[("word", word)] = None
        groups: dict[str, Iterable[str]] = {
            "vendor": new.vendors, "family": _FAMILIES, "filler": _FILLERS, "kind": _MEMORY_KINDS
        }  # fmt: skip
        items |= dict.fromkeys((kind, word) for kind, words in groups.items() for word in words)
        for kind, phrase in items:
            new.phrases.setdefault(phrase[0], []).append((kind, phrase))
        return new


def clean(written: str) -> str | None:
    """Lower case, trade marks and typographic dashes gone; None for anything beyond ASCII."""
    if len(written) > MAX_NAME:
        return None
    text = "".join(_DROPPED.get(c, c) for c in written)
    text = re.sub(r"\((r|tm|c)\)", "", text, flags=re.IGNORECASE).replace("×", "x")
    if not (text.isascii() and text.isprintable()):
        return None
    text = " ".join(text.lower().split())
    # "64 GB" and "64GiB" are one word, and PCIe is often set with an l or a dash.
    text = re.sub(r"(?<=\d) ?gi?b\b", "gb", text)
    return re.sub(r"\bpc(?:le|i-e)\b", "pcie", text)


def split_count(text: str) -> tuple[str, int | None]:
    """Take "8x", "8 ", "(x8)", or Slurm's "gpu:" and ":8", off a name."""
    if (resource := _GRES.fullmatch(text)) is not None:
        return resource[1], int(resource[2] or 1)
    before = _COUNT_BEFORE.match(text)
    if before:
        return text[before.end() :], int(before[1])
    after = _COUNT_AFTER.search(text)
    if after and after.start() > 0:
        return text[: after.start()], int(after[1] or after[2])
    return text, None


def readings(text: str, vocabulary: Vocabulary) -> set[Reading]:
    """Every way to read a cleaned name with all of its words understood and one model in it."""
    compact, breaks = _compact(text)
    found: set[Reading] = set()
    if compact is None:
        return found
    states = [(0, Reading(model=""))]
    seen = set()
    while states:
        state = states.pop()
        if state in seen:
            continue
        seen.add(state)
        position, said = state
        if position == len(compact):
            if said.model:
                found.add(said)
            continue
        for end, kind, phrase in _items(compact, breaks, position, vocabulary):
            after = _add(said, kind, phrase, vocabulary)
            if after is not None:
                states.append((end, after))
    return found


def _compact(text: str) -> tuple[str | None, frozenset[int]]:
    letters: list[str] = []
    breaks = set()
    for c in text:
        if c in _SEPARATORS:
            breaks.add(len(letters))
        elif c.isalnum():
            letters.append(c)
        else:
            return None, frozenset()
    return "".join(letters), frozenset(breaks | {len(letters)})


def _items(
    compact: str, breaks: frozenset[int], start: int, vocabulary: Vocabulary
) -> Iterator[tuple[int, str, str]]:
    """Items that can stand at a position: (end, kind, phrase)."""
    for kind, phrase in vocabulary.phrases.get(compact[start], ()):
        end = _match(compact, breaks, start, phrase)
        if end is not None:
            yield end, kind, phrase
    for kind, pattern in (("size", _SIZE), ("power", _POWER), ("slice", _SLICE)):
        found = pattern.match(compact, start)
        if found and _may_end(compact, breaks, found.end()):
            inner = range(start + 1, found.end())
            whole = not any(i in breaks and not _changes(compact, i) for i in inner)
            if whole and (kind != "slice" or {start, found.end()} <= breaks):
                yield found.end(), kind, found[0]


def _match(compact: str, breaks: frozenset[int], start: int, phrase: str) -> int | None:
    """End of a phrase at a position. Breaks inside it may stand between its words, or before a
    digit ("H-100"), but not elsewhere: "A10 0" is not an A100."""
    bare = phrase.replace(" ", "").replace(".", "")
    end = start + len(bare)
    if not compact.startswith(bare, start) or not _may_end(compact, breaks, end):
        return None
    allowed, offset = set(), 0
    for word in phrase.replace(".", " ").split():
        offset += len(word)
        allowed.add(start + offset)
    for i in range(start + 1, end):
        before_digit = compact[i].isdigit() and not compact[i - 1].isdigit()
        if i in breaks and i not in allowed and not before_digit:
            return None
    return end


def _may_end(compact: str, breaks: frozenset[int], end: int) -> bool:
    return end in breaks or _changes(compact, end)


def _changes(compact: str, i: int) -> bool:
    return i >= len(compact) or compact[i].isdigit() != compact[i - 1].isdigit()


def _add(said: Reading, kind: str, phrase: str, vocabulary: Vocabulary) -> Reading | None:
    """The reading with one item more; None where that makes no sense (two models, two sizes)."""
    model, vendors, families = said.model, said.vendors, said.families
    words, sizes, kinds, slice_of = said.words, said.sizes, said.kinds, said.slice_of
    if kind == "model":
        if model:
            return None
        model = phrase
    elif kind == "vendor":
        vendors |= {vocabulary.vendors[phrase]}
    elif kind == "family":
        families |= {_FAMILIES[phrase]}
    elif kind == "word":
        words |= {phrase}
    elif kind == "size":
        size = _SIZE.match(phrase)
        if sizes or size is None:
            return None
        sizes = frozenset({float(size[1])})
    elif kind == "kind":
        kinds |= {phrase}
    elif kind == "slice":
        if not model or slice_of is not None:
            return None
        slice_of = int(phrase)
    return Reading(model, vendors, families, words, sizes, kinds, slice_of)


def fits(said: Reading, part: Names) -> bool:
    """Whether everything that was said is true of a part."""
    return (
        said.model in part.models
        and all(vendor == part.vendor for vendor in said.vendors)
        and all(family == part.family for family in said.families)
        and _words_fit(said.words, part)
        and all(size in part.memory_gb for size in said.sizes)
        and all(kind in part.memory_kinds for kind in said.kinds)
        and (said.slice_of is None or part.family == "tpu")
    )


def _words_fit(words: frozenset[str], part: Names) -> bool:
    named = bool(words & set(part.forms))
    return all(
        word in part.brands or word in part.forms or (named and word in part.forms_beside)
        for word in words
    )
