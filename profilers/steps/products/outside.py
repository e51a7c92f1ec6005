"""Products that no module's call shows: a contrastive loss, a tied head written into the loop.

Where a backward pass begins, the graph is walked from there to the calls that were seen. Autograd
numbers its nodes as they are made, so what a call made lies between two numbers, whatever it returns;
its outputs carry these numbers as a mark, since each thread has numbers of its own. What lies before
them was computed by the program itself, and each product's sizes are in the graph. The program may
also have computed what it gave to a call (logits, for a criterion that is a module): there the walk
goes on through the call, unless its inputs were seen to come from other calls alone. As long as nothing
is found the walk is made only now and then. No torch is imported here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from math import prod
from operator import itemgetter
from typing import Any

from profilers.steps.deciders.functions import is_harmless

MARK = "flopledger-output"
"""In a node's metadata: the output of a call that was seen (profilers.steps.calls.seam), and its span."""
DONE = "flopledger-counted"
CLEAN = (-1, -1, -1)
"""As a mark: nothing that the program computed itself went into the call."""
MOST_SPANS = 4096
"""So many calls are remembered by what they added to the graph."""
MOST_NODES = 4096
"""A graph outside of modules with more nodes is not walked to its end."""
MOST_WITHIN = 1 << 17
"""The same, of nodes that calls made."""
FEW_NODES = 64
"""So many nodes before a call are looked at, to see whether it has to be walked through."""
FACTORS: dict[str, tuple[tuple[int, int], tuple[int, ...]]] = {
    "MmBackward0": ((0, 1), (0, 1)),
    "AddmmBackward0": ((1, 2), (1, 2)),
    "BmmBackward0": ((0, 1), (0, 1)),
    "BaddbmmBackward0": ((1, 2), (1, 2)),
    "MvBackward0": ((0, 1), (1,)),
    "AddmvBackward0": ((1, 2), (2,)),
    "DotBackward0": ((0, 1), ()),
}
"""Places of both factors of a product among what a node leads on to, and of those whose gradient is
a product in its turn."""
OTHERS = (
    "Addbmm", "Cdist", "Cholesky", "Conv", "CppFunction", "Cudnn", "EfficientAttention", "EuclideanDist",
    "Fft",
    "FlashAttention", "GroupedMm", "LinalgCholesky", "LinalgDet", "LinalgEig", "LinalgHouseholder",
    "LinalgInv", "LinalgLdl", "LinalgLstsq", "LinalgLu", "LinalgMatrixExp", "LinalgPinv", "LinalgQr",
    "LinalgSlogdet", "LinalgSolve", "LinalgSvd", "LinearBackward", "Lu", "Miopen", "Mkldnn",
    "NativeMultiHead", "Ormqr", "ScaledDotProduct", "ScaledMm", "SlowConv", "Smm", "SparseAddmm",
    "SparseMm", "SparseSampled", "SparseSparse", "Sspaddmm", "TransformerEncoder", "TriangularSolve",
    "Trilinear",
)  # fmt: skip
"""Work whose cost the graph alone does not say; names of nodes begin so."""
UNWATCHED = "a backward into a model by no output that was seen"
DERIVED = "a backward of a product of the program's own that can itself be differentiated"
ASKED = "a product of the program's own in a backward that was asked for some gradients only"
AGAIN = "a product of the program's own in a checkpoint, which may be computed again"

Span = tuple[int, int, int]
"""Numbers of the first node that a call made, and of the first one after it; and whose call it was."""
Product = tuple[str, int, int, int]
"""Dtype that went in, FLOP of the forward, FLOP of the backward, ranks that compute it together."""


class Spans:
    """What the last calls added to the graph, oldest first."""

    def __init__(self) -> None:
        self.fresh: deque[Span] = deque(maxlen=MOST_SPANS)
        """Where the hot path puts them."""
        self._known: list[Span] = []
        self._tangled = False
        """Calls of several threads, each with numbers of its own, lie side by side."""

    def ascending(self) -> Sequence[Span]:
        """All of them, by their numbers."""
        known, fresh = self._known, self.fresh
        while fresh:
            span = fresh.popleft()
            self._tangled |= bool(known) and span < known[-1]
            known.append(span)
        del known[:-MOST_SPANS]
        return sorted(known) if self._tangled else known


def outside(
    outputs: Iterable[Any],
    calls: Sequence[Span],
    wanted: Sequence[Any] = (),
    *,
    derived: bool = False,
) -> tuple[tuple[Product, ...], tuple[str, ...]]:
    """Products between where a pass begins and the calls that were seen, and what is no product.

    Args:
        outputs: Tensors at which the pass begins.
        calls: Of each call that was seen, in ascending order.
        wanted: For whose gradients the pass was asked; empty where it reaches everything.
        derived: Whether the pass can itself be differentiated.

    Returns:
        The products, and names of other work that was found and whose cost is not known.

    """
    products: list[tuple[Any, str]] = []
    other: set[str] = set()
    entered = _Entered()
    for node, name in _own_nodes(outputs, calls, other, entered):
        if name in FACTORS:
            products.append((node, name))
            if is_checkpointed(node):
                other.add(AGAIN)
        elif is_work(node, name):
            other.add(name)
    if not entered.are_passed(calls):
        other.add(UNWATCHED)
    useful = None
    if products and wanted:
        useful = leading_to(_is_wanted(wanted), [node for node, _ in products])
        if useful is None:
            other.add(ASKED)
            useful = frozenset()
    if products and derived:
        other.add(DERIVED)
    found: list[Product] = []
    for node, name in products:
        found.append(_product(node, name, useful, again=DONE in node.metadata))
        node.metadata[DONE] = True
    return tuple(sorted(found)), tuple(sorted(other))


def _is_wanted(wanted: Sequence[Any]) -> Callable[[Any], bool]:
    """Whether a node stands for one of these tensors or edges."""
    leaves = {id(each) for each in wanted}
    inner = {getattr(each, "grad_fn", None) or getattr(each, "node", None) for each in wanted}
    return lambda node: node in inner or id(getattr(node, "variable", None)) in leaves


def leading_to(is_wanted: Callable[[Any], bool], starts: Sequence[Any]) -> Set[Any] | None:
    """Return the nodes on a way from a start to one that is wanted; None where there are too many."""
    before: dict[Any, list[Any]] = {node: [] for node in starts}
    waiting = list(before)
    for node in waiting:
        for following, _ in node.next_functions:
            if following is None:
                continue
            if following not in before:
                before[following] = []
                waiting.append(following)
            before[following].append(node)
        if len(before) > MOST_NODES:
            return None
    waiting = [node for node in before if is_wanted(node)]
    useful = set(waiting)
    for node in waiting:
        for earlier in before[node]:
            if earlier not in useful:
                useful.add(earlier)
                waiting.append(earlier)
    return useful


def close(gradients: Iterable[Any], given: Iterable[Any]) -> None:
    """Gradients were found that have a graph of their own: no later walk goes on behind them.

    What the calls and products that they came through cost is known by these.

    Args:
        gradients: What the pass found.
        given: What it began with, which it may have handed on as it was.

    """
    before = {getattr(each, "grad_fn", None) for each in given}
    for gradient in gradients:
        node = getattr(gradient, "grad_fn", None)
        if node is not None and node not in before:
            node.metadata.setdefault(MARK, CLEAN)


def gradients_of(wanted: Sequence[Any] | None, outputs: Iterable[Any]) -> list[Any]:
    """Gradients that a pass has just put into the tensors that were wanted, or else into all leaves."""
    leaves = list(wanted or ())
    if not leaves:
        waiting = [node for each in outputs if (node := getattr(each, "grad_fn", None)) is not None]
        seen = set(waiting)
        for node in waiting:
            leaves.append(getattr(node, "variable", None))
            for following, _ in node.next_functions:
                if following is not None and following not in seen and len(seen) < MOST_WITHIN:
                    seen.add(following)
                    waiting.append(following)
    return [leaf.grad for leaf in leaves if getattr(leaf, "is_leaf", False)]


def mark_of(span: Span, inputs: Iterable[Any], calls: Sequence[Span]) -> Span:
    """The mark of a call's outputs: ``CLEAN`` where its inputs come from other calls alone."""
    other: set[str] = set()
    entered = _Entered()
    for node, name in _own_nodes(inputs, calls, other, entered, FEW_NODES):
        if name in FACTORS or is_work(node, name):
            return span
    return span if other or entered.inside else CLEAN


def made_before(inputs: Iterable[Any], calls: Sequence[Span]) -> tuple[type, ...]:
    """What the program made of its tensors before it handed them to a call: the nodes' types."""
    waiting = [node for each in inputs if (node := getattr(each, "grad_fn", None)) is not None]
    found: list[type] = []
    for node in waiting:
        if _is_within(node, calls):
            continue
        found.append(type(node))
        if len(found) >= FEW_NODES:
            break
        waiting += [following for following, _ in node.next_functions if following is not None]
    return tuple(found)


def _goes_on(node: Any, further: Any, calls: Sequence[Span]) -> bool:
    """Whether a count knows of the way to a further node: into another call only by an output of that one.

    A state that a call left with its graph leads into that past its outputs.
    """
    if MARK in further.metadata:
        return True
    place = _place_of(further, calls)
    return place is None or place == _place_of(node, calls)


def _behind(starts: Iterable[Any], goes_on: Callable[[Any, Any], bool]) -> list[Any]:
    """Nodes from some of them back, as far as it goes on; at most a few more than are looked at."""
    found = list(dict.fromkeys(starts))
    seen = set(found)
    for node in found:
        if len(found) > MOST_WITHIN:
            break
        for following, _ in node.next_functions:
            known = following is None or following in seen
            if not known and goes_on(node, following):
                seen.add(following)
                found.append(following)
    return found


class _Entered:
    """Where a walk comes to calls: at outputs that are watched, and inside."""

    def __init__(self) -> None:
        self.outputs: list[Any] = []
        self.inside: list[Any] = []

    def are_passed(self, calls: Sequence[Span]) -> bool:
        """Whether a pass that reaches the outputs computes all behind the nodes inside anyway.

        As where a hook hands out what is hidden, and the output depends on it, or on what it was made of
        without a product: one more gradient is added there.
        """
        if not self.inside:
            return True
        passed = set(_behind(self.outputs, lambda node, further: _goes_on(node, further, calls)))
        beside = _behind(self.inside, lambda node, _: node not in passed)
        names = ((node, type(node).__name__) for node in beside if node not in passed)
        return len(passed) <= MOST_WITHIN and not any(
            name in FACTORS or is_work(node, name) or is_checkpointed(node) for node, name in names
        )


def _own_nodes(
    tensors: Iterable[Any],
    calls: Sequence[Span],
    other: set[str],
    entered: _Entered,
    most: int = MOST_NODES,
) -> Iterator[tuple[Any, str]]:
    """Nodes that the program made itself, from tensors back; what is not followed joins ``other``."""
    waiting: list[tuple[Any, Span | None]] = []
    seen: set[Any] = set()
    own = 0

    def follow(node: Any, through: Span | None) -> None:
        call = _call_of(node, through)
        if call is None and _is_within(node, calls):
            # What it asks of the call is not known: only outputs that were found are watched.
            entered.inside.append(node)
            return
        if MARK in node.metadata:
            entered.outputs.append(node)
        if call is not CLEAN and node not in seen:
            seen.add(node)
            waiting.append((node, call))

    for tensor in tensors:
        node = getattr(tensor, "grad_fn", None)
        if node is not None:
            follow(node, None)
    while waiting:
        node, call = waiting.pop()
        if call is None:
            own += 1
            yield node, type(node).__name__
        for following, _ in node.next_functions:
            if following is not None:
                follow(following, call)
        if own > most or len(seen) > MOST_WITHIN:
            other.add(f"a graph of more than {most} nodes")
            return


def _call_of(node: Any, through: Span | None) -> Span | None:
    """The call that made a node, where a walk may know: by its mark, or the call it came through."""
    number = node._sequence_nr()
    mark: Span | None = node.metadata.get(MARK)
    if mark is not None and mark[0] <= number:  # later calls may hand on what others made
        return mark
    if through is not None and through[0] <= number < through[1]:
        return through
    return None


def _is_within(node: Any, calls: Sequence[Span]) -> bool:
    """Whether a call that was seen made a node."""
    return _place_of(node, calls) is not None


def _place_of(node: Any, calls: Sequence[Span]) -> int | None:
    """Which of the calls made a node."""
    number = node._sequence_nr()
    place = bisect_right(calls, number, key=itemgetter(0)) - 1
    return place if place >= 0 and number < calls[place][1] else None


def is_work(node: Any, name: str) -> bool:
    """Whether a node stands for work whose cost it does not say."""
    function = getattr(type(node), "_forward_cls", None)
    if function is None:
        return name.lstrip("_").startswith(OTHERS)
    return not is_harmless(function, node)


def is_checkpointed(node: Any) -> bool:
    """Whether what a node needs is not kept but computed again (a checkpoint that is not reentrant)."""
    return any(
        type(getattr(getattr(node, name, None), "data", None)).__name__ == "_Holder"
        for name in _raw_saved(node)
    )


def forward_flop(node: Any, name: str) -> int:
    """``(…, m, k)`` times ``(…, k, n)``: 2mkn FLOP, from the sizes that a product's node keeps."""
    factors, _ = FACTORS[name]
    inner = next(
        int(shape[-1 - place] if len(shape) > place else shape[0])
        for place, (following, number) in enumerate(map(node.next_functions.__getitem__, factors))
        if following is not None
        for shape in (following._input_metadata[number].shape,)
    )
    return 2 * prod(map(int, node._input_metadata[0].shape)) * inner


def _product(node: Any, name: str, useful: Set[Any] | None, *, again: bool) -> Product:
    """The product, and once more for each factor's gradient that is a product in its turn.

    Of a pass that was asked for some gradients only, ``useful`` lead to them.
    """
    flop = forward_flop(node, name)
    following = [node.next_functions[place][0] for place in FACTORS[name][1]]
    times = sum(each is not None and (useful is None or each in useful) for each in following)
    dtype = str(node._input_metadata[0].dtype)
    return dtype, 0 if again else flop, flop * times, ranks_of(node)


def ranks_of(node: Any) -> int:
    """So many ranks compute a product of tensors that are spread over them, whose sizes are the whole's."""
    kept = (getattr(getattr(node, name, None), "data", None) for name in _raw_saved(node))
    leaves = (getattr(following, "variable", None) for following, _ in node.next_functions)
    meshes = (getattr(each, "device_mesh", None) for each in (*kept, *leaves))
    return next((int(mesh.size()) for mesh in meshes if mesh is not None), 1)


def _raw_saved(node: Any) -> list[str]:
    """What a node keeps for its backward, by the names under which no hook of the program's is asked."""
    return [name for name in dir(type(node)) if name.startswith("_raw_saved_")]
