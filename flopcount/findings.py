"""What a reader of a count should know besides the number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from flopcount.closed_form import Dimensions

_BILLION = {"b": 10**9, "m": 10**6}
_SIZE = re.compile(
    r"(?<![A-Za-z0-9.])(?:(\d{1,3})x)?(\d{1,5}(?:\.\d{1,3})?)([bBmM])(?![A-Za-z0-9])"
    r"(?!-?(?:tok|step))"
)
_PREDICTION = (
    "num_nextn_predict_layers", "num_mtp_layers", "num_mtp_modules", "mtp_num_layers",
    "mtp_num_hidden_layers",
)  # fmt: skip
"""What published files call the layers that predict further tokens."""
_MOST_TOLD = 6
_TOLERANCE = 1.5
"""Names round generously: gemma-2b builds 2.5e9. A shrunk or foreign model is further off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know about a file, as in the audit's list."""

    code: str
    severity: Literal["info", "warning", "error"]
    message: str
    evidence: tuple[str, ...] = ()


def name_mismatch(
    names: list[str], parameters: int, *, active: int | None = None
) -> Finding | None:
    """Compare the sizes in a model's names ("405B", "8x7B", "125m") with what its config builds.

    A mixture of experts may be named by the parameters that a token meets ("Llama-4-Scout-17B-16E").
    The finding is None where no name states a size, or where one of them fits.
    """
    stated = {size: name for name in names for size in _sizes(name)}
    if not stated or parameters == 0:
        return None
    built = [parameters] if active is None else [parameters, active]
    if any(low / _TOLERANCE <= n <= high * _TOLERANCE for low, high in stated for n in built):
        return None
    (low, high), name = min(stated.items(), key=lambda item: -item[0][1])
    said = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    return Finding(
        code="config-name-mismatch",
        severity="warning",
        message=(
            f"the name '{name[:100]}' states {said} parameters, the config builds {parameters:,}: "
            "a shrunk test model, another model's config, or a wrong name"
        ),
        evidence=(name[:200],),
    )


def prediction_left_out(config: Mapping[str, Any], file: object) -> Finding | None:
    """Tell of multi-token prediction that the file states and that was not counted."""
    nested = config.get("text_config")
    parts = [config, nested] if isinstance(nested, Mapping) else [config]
    found = [(key, part.get(key)) for part in parts for key in _PREDICTION]
    stated = [(key, n) for key, n in found if type(n) is int and n > 0]
    if not stated:
        return None
    key, number = stated[0]
    return Finding(
        code="module-left-out",
        severity="warning",
        message=(
            f"{key} = {number}: multi-token prediction is not in this count; "
            "if it was trained, parameters and FLOP were higher than counted here"
        ),
        evidence=(str(file),),
    )


def sizes_unread(sizes: list[str], model: str, file: object) -> list[Finding]:
    """Tell of sizes in a file that the class which was built does not know."""
    if not sizes:
        return []
    more = f" and {len(sizes) - _MOST_TOLD} more" if len(sizes) > _MOST_TOLD else ""
    return [
        Finding(
            code="size-not-read",
            severity="warning",
            message=(
                f"the file states {', '.join(sizes[:_MOST_TOLD])}{more}, which {model} of the installed "
                "library never reads: where that was part of what was trained, the count is of another "
                "model; compare the parameters with the published number"
            ),
            evidence=(str(file),),
        )
    ]


def length_unread(sequence: int, model: str, file: object) -> Finding:
    """Tell of a number of tokens that nothing in the model is a size of: it was not used."""
    return Finding(
        code="length-not-read",
        severity="warning",
        message=f"{model} reads nothing that has a length to choose: --sequence {sequence} was not used, and "
        "decides no figure; leave it out",
        evidence=(str(file),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSizes:
    """The sizes of a step as they were asked for, and as they decided anything."""

    batch: int | None
    """None where no input's size is free for it: the samples are then whatever the inputs hold."""
    sequence: int | None
    findings: tuple[Finding, ...] = ()


def sizes_asked(
    model: str, *, batch: int, sequence: int | None, batch_read: bool, length_read: bool
) -> AskedSizes:
    """Drop what was asked for and decided no figure, and say so.

    Nobody is told that a batch of 1 was not used: it is also what stands where none was asked for.
    """
    told = []
    if not batch_read:
        said = "" if batch == 1 else f"; --batch {batch} was not used"
        told.append(
            Finding(
                code="batch-not-read",
                severity="info" if batch == 1 else "warning",
                message=f"no input of {model} has a size free for the samples, and the figures are of as "
                f"many as its inputs hold{said}; leave that size free (a factory takes `batch`) to ask for "
                "others",
            )
        )
    if sequence is not None and not length_read:
        told.append(length_unread(sequence, model, model))
    return AskedSizes(
        batch=batch if batch_read else None,
        sequence=sequence if length_read else None,
        findings=tuple(told),
    )


def too_long(
    dimensions: Dimensions, sequence: int | None, decoder_sequence: int | None = None
) -> list[Finding]:
    """Tell of more tokens than a learned table of positions has places: no such model reads them.

    On tensors without storage nobody misses the places that a table has not.
    """
    main, other = dimensions.longest()
    sides = [(sequence, main), (decoder_sequence or sequence, other)]
    over = [(n, most) for n, most in sides if n is not None and most is not None and n > most]
    return [
        Finding(
            code="sequence-too-long",
            severity="warning",
            message=(
                f"{tokens:,} tokens a sample, and the model's table has {most:,} positions: as "
                "configured it cannot read them; look for the configuration that was trained"
            ),
        )
        for tokens, most in over[:1]
    ]


def _sizes(name: str) -> list[tuple[float, float]]:
    """Each stated size as an interval: "8x7B" lies between its parts and their full product."""
    found = []
    for times, number, unit in _SIZE.findall(name):
        size = float(number) * _BILLION[unit.lower()]
        found.append((size, size * int(times)) if times else (size, size))
    # "7B-Instruct-1M": the million is a context length.
    if any(high >= 1e9 for _, high in found):
        found = [pair for pair in found if pair[1] >= 1e8]
    return found
