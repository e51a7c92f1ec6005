"""Whether a run's evidence is of the model that the case names: its shape, its size, its cost a token.

A log of another run may agree in everything that is counted with (steps, tokens) and so pass unseen.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flopcount import FlopcountError, closed_form
from flopledger.facts import Finding
from flopledger.inputs import RunFigures
from flopledger.logs import RunFacts
from flopledger.methods.models import Model
from flopledger.methods.sample_costs import Costed
from flopledger.text import factor, number

if TYPE_CHECKING:
    from flopledger.logs.run_facts import Resolved

#: Every program prints these alike; inner widths and vocabularies are padded or split by some.
_SHAPE = {"layers": "layers", "hidden": "hidden size", "heads": "heads"}
#: Counts of parameters leave out tables, heads or buffers, or pad them: up to a third of a small model.
_SIZE = 1.5
#: Programs count a token's FLOP with and without the mask, embeddings and recomputation.
_COST = 2.0


def of_another_model(
    run: RunFigures, model: Model, costs: Sequence[Costed], found: RunFacts
) -> list[Finding]:
    """Find what in the evidence is of another model than the case's; a question, nothing is corrected."""
    told = [*_shape(model, found), *_size_by_shape(model, found)]
    if costs:
        told += _size(costs[0], found.parameters)
        told += _cost(costs[0], found.implied_flop_per_token)
    if not told:
        return []
    message = (
        f"run {run.name}: {model.place} is another model than its evidence speaks of: "
        f"{'; '.join(told)}; the log or the configuration belongs to another run"
    )
    evidence = tuple(dict.fromkeys(place for place in _places(found) if place))
    return [Finding(code="model-mismatch", severity="warning", message=message, evidence=evidence)]


def _shape(model: Model, found: RunFacts) -> list[str]:
    """Compare dimensions, where both sides state them."""
    if found.architecture is None or model.dimensions is None:
        return []
    pairs = [
        (name, found.architecture.get(name), getattr(model.dimensions, name)) for name in _SHAPE
    ]
    known = [(name, seen, own) for name, seen, own in pairs if seen is not None and own is not None]
    differ = [f"{_SHAPE[name]} {seen} and not {own}" for name, seen, own in known if seen != own]
    return [", ".join(differ)] if differ else []


def _size_by_shape(model: Model, found: RunFacts) -> list[str]:
    """Compare a size that the case states without dimensions with what the evidence's shape comes to.

    A shape without experts says nothing of a mixture: the program may not have printed them.
    """
    if found.architecture is None or model.dimensions is not None or model.total is None:
        return []
    if model.active is not None and not found.architecture.get("experts"):
        return []
    try:
        shape = closed_form.Dimensions.from_mapping(found.architecture)
        built = closed_form.count(shape, batch=1, sequence=1).parameters
    except FlopcountError:
        return []
    ends = model.total.quantity.interval
    stated = [end for end in (ends.low, ends.best, ends.high) if end]
    if any(_near(size, end, _SIZE) for size in (built.total, built.active) for end in stated):
        return []
    return [f"a shape of {number(built.total)} parameters and not {number(stated[0])}"]


def _size(costed: Costed, seen: "Resolved | None") -> list[str]:
    built = costed.parameters_total
    if seen is None or seen.bound != "exact" or built is None or _near(seen.number, built, _SIZE):
        return []
    return [f"{number(seen.number)} parameters and not {number(built)}"]


def _cost(costed: Costed, seen: "Resolved | None") -> list[str]:
    cost = costed.cost
    if seen is None or not cost.tokens_per_sample:
        return []
    own = cost.total / cost.tokens_per_sample
    if _near(seen.number, own, _COST):
        return []
    ratio = max(seen.number / own, own / seen.number)
    return [
        f"its rates come to {number(seen.number)} FLOP a token and not {number(own)} "
        f"(a factor {factor(ratio)})"
    ]


def _near(one: float, two: float, most: float) -> bool:
    return abs(math.log(one / two)) <= math.log(most)


def _places(found: RunFacts) -> list[str | None]:
    figures = (found.parameters, found.implied_flop_per_token)
    return [found.architecture_source, *(one.derivation for one in figures if one is not None)]
