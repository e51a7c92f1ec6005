"""The answer of ``flopledger count`` as plain data, and as the rows of a table."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flopledger.errors import FlopledgerError

if TYPE_CHECKING:
    from flopcount.model_files.counted_model import CountedModel

SCHEMA = "flopledger/count/1"


def count_answer(model: "CountedModel", crosscheck: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the JSON of one count; what is unknown is None, never 0."""
    count = model.count
    answer: dict[str, Any] = {
        "schema": SCHEMA,
        "model": model.name,
        "source": None if model.source is None else str(model.source),
        "kind": model.kind,
        "inputs": {"batch": model.batch, "sequence": model.sequence},
        "parameters": _parameters(model),
        "flop": _flop(model),
        "by_op": None if count is None else dict(count.by_op),
        "by_module": None if count is None else dict(count.by_module),
        "by_dtype": None if count is None else dict(count.by_dtype),
        "elementwise": None if count is None else count.elementwise,
        "attention": None if count is None else count.attention_flop,
        "convention": None if count is None else dataclasses.asdict(count.convention),
        "explained": [] if count is None else [dataclasses.asdict(t) for t in count.explained],
        "uncounted": []
        if count is None
        else [{"op": u.op, "calls": u.calls, "shapes": list(u.shapes)} for u in count.uncounted],
        "coverage": None if count is None else _coverage(count),
        "method": None if count is None else count.method,
        "notes": [] if count is None else list(count.notes),
        "polynomial": None
        if model.polynomial is None
        else {
            "variables": ["batch", "sequence"],
            "terms": [list(term) for term in model.polynomial],
        },
        "no_polynomial": model.no_polynomial,
        "closed_form": _closed_form(model),
        "crosscheck": [dataclasses.asdict(opinion) for opinion in crosscheck],
        "assumptions": list(model.assumptions),
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "message": finding.message,
                "evidence": list(finding.evidence),
            }
            for finding in model.findings
        ],
    }
    if count is not None and count.flop_bounds is not None:
        answer["flop_bounds"] = list(count.flop_bounds)
    return answer


def _parameters(model: "CountedModel") -> dict[str, int | None]:
    names = (
        "total",
        "trainable",
        "active",
        "total_without_embeddings",
        "active_without_embeddings",
    )
    return {
        name: None if model.parameters is None else getattr(model.parameters, name)
        for name in names
    }


def _flop(model: "CountedModel") -> dict[str, int | None]:
    count = model.count
    if count is None:
        return dict.fromkeys(("forward", "backward", "recompute", "total", "hardware_total"))
    return {
        "forward": count.forward,
        "backward": count.backward,
        "recompute": count.recompute,
        "total": count.total,
        "hardware_total": count.hardware_total,
    }


def _coverage(count: Any) -> dict[str, Any]:
    return {
        "counted_ops": count.coverage.counted_ops,
        "zero_by_rule": count.coverage.zero_by_rule,
        "unknown": list(count.coverage.unknown),
    }


def _closed_form(model: "CountedModel") -> dict[str, Any]:
    form = model.closed_form
    if form is None:
        return {"forward": None, "total": None, "terms": [], "reason": model.no_closed_form}
    return {
        "forward": form.forward,
        "total": form.total,
        "masked_total": form.masked_total,
        "terms": [
            {"name": term.name, "forward": term.forward, "backward": term.backward}
            for term in form.terms
        ],
        "reason": None,
    }


def rows(model: "CountedModel", view: str, depth: int) -> list[tuple[str, int, float]]:
    """Return (name, FLOP, share of forward and backward) of one view, modules as a tree."""
    count = model.count
    if count is None:
        return []
    whole = count.forward + count.backward
    if view == "module":
        pairs = fold_layers(limit_depth(count.by_module, depth))
    else:
        pairs = list((count.by_op if view == "op" else count.by_dtype).items())
    return [(name, flop, flop / whole if whole else 0.0) for name, flop in pairs]


def limit_depth(by_module: Mapping[str, int], depth: int) -> dict[str, int]:
    """Keep the modules at most ``depth`` names deep; numbers of a list do not count as a name."""
    return {
        path: flop
        for path, flop in by_module.items()
        if sum(not part.isdigit() for part in path.split(".") if part) <= depth
    }


def fold_layers(by_module: Mapping[str, int]) -> list[tuple[str, int]]:
    """Write equal neighbours of a list as one line: ``layers.0-125 (each)`` costs what all cost.

    Layers are equal when they and all that they contain cost the same.
    """
    children: dict[str, list[str]] = {}
    for path in by_module:
        if path:
            children.setdefault(path.rpartition(".")[0], []).append(path)
    lines: list[tuple[str, int]] = []

    def shape(path: str) -> tuple[Any, ...]:
        inner = sorted(children.get(path, []), key=_natural)
        return (by_module[path], *((c.rpartition(".")[2], shape(c)) for c in inner))

    def walk(path: str, shown: str, times: int) -> None:
        lines.append((shown, by_module[path] * times))
        inner = sorted(children.get(path, []), key=_natural)
        start = 0
        while start < len(inner):
            stop = start + 1
            name = inner[start].rpartition(".")[2]
            while (
                name.isdigit()
                and stop < len(inner)
                and inner[stop].rpartition(".")[2].isdigit()
                and shape(inner[stop]) == shape(inner[start])
            ):
                stop += 1
            last = inner[stop - 1].rpartition(".")[2]
            label = name if stop - start == 1 else f"{name}-{last}"
            walk(inner[start], f"{shown}.{label}" if shown else label, times * (stop - start))
            start = stop

    if "" in by_module:
        walk("", "", 1)
    return lines


def _natural(path: str) -> tuple[int, int, str]:
    name = path.rpartition(".")[2]
    return (0, int(name), "") if name.isdigit() and len(name) < 9 else (1, 0, name)


def explanation(
    pair: tuple[str, str], first: "CountedModel", second: "CountedModel"
) -> dict[str, Any]:
    """Lead from one convention's total to the other's: back to the dense count, then on.

    Raises:
        FlopledgerError: there is no count to explain.
    """
    if first.count is None or second.count is None:
        msg = "the input size is unknown, so there is no figure to explain\n  give --sequence"
        raise FlopledgerError(msg)
    back = [
        {"name": f"without: {term.name}", "flop": -term.flop, "reason": term.reason}
        for term in reversed(first.count.explained)
    ]
    return {
        "schema": "flopledger/count-explanation/1",
        "model": first.name,
        "from": {"convention": pair[0], "total": first.count.total},
        "to": {"convention": pair[1], "total": second.count.total},
        "terms": back + [dataclasses.asdict(term) for term in second.count.explained],
    }
