"""Loops that people write and a recorder overlooks: what was given, kept, hooked or made before a call.

Each step equals torch's own counter on the same step; where that cannot be, the upper end is open.
"""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop  # noqa: E402

from profilers.steps.deciders.functions import is_harmless, may_compute, may_replace  # noqa: E402
from tests.recording.conftest import mlp, recorded_as_counted, sgd, steps_by_counter  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.recording.conftest import Mark, Run

WIDTH = 8


class Stack(nn.Module):
    """As deep as it is told in some way."""

    def __init__(self, depth: Callable[..., Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.depth = depth

    def forward(self, x: Any, *told: Any) -> Any:
        for place in self.depth(*told):
            x = self.layers[place](x)
        return x


def trained(
    mark: Mark, model: Any, inputs: Callable[[int], tuple[Any, ...]], steps: int = 6
) -> None:
    optimizer = sgd(model)
    for step in range(steps):
        model(torch.randn(4, WIDTH), *inputs(step)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        mark()


# ---------------------------------------------------------------- what is given to a call


def a_ratio(mark: Mark) -> None:
    model = Stack(lambda ratio: range(int(4 * ratio)))
    trained(mark, model, lambda step: ((0.5, 0.5, 1.0, 0.25)[step % 4],))


def a_ratio_that_falls_below_a_threshold(mark: Mark) -> None:
    """Nine values cost the same before one does not."""
    model = Stack(lambda heat: range(1 if heat > 0.3 else 2))
    trained(mark, model, lambda step: (1 - step / 16,), steps=14)


def the_step_in_a_tensor(mark: Mark) -> None:
    model = Stack(lambda step: range(1 if step < 12 else 2))
    trained(mark, model, lambda step: (torch.tensor(step),), steps=14)


def an_array_of_depths(mark: Mark) -> None:
    numpy = pytest.importorskip("numpy")
    model = Stack(lambda which: which.tolist())
    trained(mark, model, lambda step: (numpy.array([0, 1 + step % 2] * (1 + step % 3)),))


def a_set_of_layers(mark: Mark) -> None:
    model = Stack(lambda skipped: [n for n in range(4) if n not in skipped])
    trained(mark, model, lambda step: ({1, 2} if step % 2 else frozenset({1}),))


def a_batch_object(mark: Mark) -> None:
    @dataclass
    class Batch:
        depth: int

    model = Stack(lambda batch: range(batch.depth))
    trained(mark, model, lambda step: (Batch(1 + step % 3),))


def a_long_list(mark: Mark) -> None:
    model = Stack(lambda places: places)
    trained(mark, model, lambda step: ([0] * 70 + [1] * step,), steps=3)


def a_function(mark: Mark) -> None:
    model = Stack(lambda which: which())
    one, all_of_them = lambda: (0,), lambda: range(4)
    trained(mark, model, lambda step: (all_of_them if step % 2 else one,))


def a_model_among_the_inputs(mark: Mark) -> None:
    class Loss(nn.Module):
        def forward(self, x: Any, net: Any) -> Any:
            return net(x).square()

    nets = [mlp(), nn.Linear(WIDTH, WIDTH)]
    loss, optimizer = Loss(), sgd(*nets)
    for step in range(4):
        nets[0].requires_grad_(requires_grad=step < 2)
        x = torch.randn(4, WIDTH, requires_grad=True)
        loss(x, nets[step % 2]).sum().backward()
        optimizer.step()
        mark()


# ---------------------------------------------------------------- what is kept, or lies around


def a_part_in_a_list(mark: Mark) -> None:
    class Probe(nn.Module):
        def __init__(self, trunk: Any) -> None:
            super().__init__()
            self.trunk, self.head = [trunk], nn.Linear(WIDTH, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.trunk[0](x))

    trunk = mlp()
    model = Probe(trunk)
    optimizer = sgd(model, trunk)
    for step in range(4):
        trunk.requires_grad_(requires_grad=step >= 2)
        model(torch.randn(4, WIDTH)).sum().backward()
        optimizer.step()
        mark()


def a_buffer_that_grows(mark: Mark) -> None:
    class Bank(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, WIDTH)
            self.register_buffer("bank", torch.zeros(0, WIDTH))

        def forward(self, x: Any) -> Any:
            x = self.layer(x)
            near = x @ self.bank.T
            self.bank = torch.cat([self.bank, x.detach()])
            return torch.cat([near, x], -1)

    trained(mark, Bank(), lambda step: ())


def the_environment(mark: Mark) -> None:
    model = Stack(lambda: range(int(os.environ["FLOPLEDGER_TEST_DEPTH"])))

    def told(step: int) -> tuple[Any, ...]:
        os.environ["FLOPLEDGER_TEST_DEPTH"] = str(1 + step % 3)
        return ()

    try:
        trained(mark, model, told)
    finally:
        del os.environ["FLOPLEDGER_TEST_DEPTH"]


KEPT: dict[str, Any] = {}
DEPTHS: list[int] = []


@contextmanager
def shallow(depth: int) -> Iterator[None]:
    DEPTHS.append(depth)
    yield
    DEPTHS.pop()


def present_depth() -> int:
    return DEPTHS[-1] if DEPTHS else 4


class Shallow(Stack):
    def forward(self, x: Any) -> Any:
        for layer in self.layers[: present_depth()]:
            x = layer(x)
        return x


def a_context_that_a_function_asks_for(mark: Mark) -> None:
    """When the call is counted, the context is over."""
    model = Shallow(range)
    optimizer = sgd(model)
    for step in range(4):
        if step % 2:
            with shallow(1 + step // 2):
                out = model(torch.randn(4, WIDTH))
        else:
            out = model(torch.randn(4, WIDTH))
        out.sum().backward()
        optimizer.step()
        mark()


# ---------------------------------------------------------------- what the loop computes itself


def a_product_before_a_module(mark: Mark) -> None:
    class Contrast(nn.Module):
        def forward(self, scores: Any) -> Any:
            return F.cross_entropy(scores, torch.arange(len(scores)))

    one, other, loss = nn.Linear(16, 8), nn.Linear(12, 8), Contrast()
    optimizer = sgd(one, other)
    for rows in (4, 6, 6):
        loss(one(torch.randn(rows, 16)) @ other(torch.randn(rows, 12)).T).backward()
        optimizer.step()
        mark()


def a_product_handed_on_unchanged(mark: Mark) -> None:
    class Off(nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    model, weight, off = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.randn(WIDTH, 3)), Off()
    optimizer = torch.optim.SGD([*model.parameters(), weight], lr=0.1)
    for _ in range(3):
        off(model(torch.randn(4, WIDTH)) @ weight).sum().backward()
        optimizer.step()
        mark()


def a_penalty_that_begins_late(mark: Mark) -> None:
    model = nn.Linear(WIDTH, WIDTH)
    optimizer = sgd(model)
    for step in range(30):
        loss = model(torch.randn(4, WIDTH)).sum()
        if step >= 20:
            loss = loss + (model.weight @ model.weight.T).square().sum()
        loss.backward()
        optimizer.step()
        mark()


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, scale: float) -> Any:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        return slope.neg() * ctx.scale, None


def a_function_of_the_programs_own_that_costs_nothing(mark: Mark) -> None:
    trunk, head = mlp(), nn.Linear(WIDTH, 2)
    optimizer = sgd(trunk, head)
    for _ in range(3):
        head(Reversed.apply(trunk(torch.randn(4, WIDTH)), 0.1)).sum().backward()
        optimizer.step()
        mark()


# ---------------------------------------------------------------- what is computed again


def guarded(hook: Callable[[Any], Any]) -> nn.Module:
    """A model that puts a hook on its output, as Lightning's Fabric does to ask whose backward this is."""

    class Guarded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()

        def forward(self, x: Any) -> Any:
            out = self.inner(x)
            out.register_hook(hook)
            return out

    return Guarded()


def stepped_with_leave(model: nn.Module, optimizer: Any, ours: list[bool]) -> None:
    """One step, whose backward the hook lets pass."""
    loss = model(torch.randn(4, WIDTH)).sum()
    ours[0] = True
    loss.backward()
    ours[0] = False
    optimizer.step()


def a_model_that_refuses_other_backwards(mark: Mark) -> None:
    ours = [False]

    def refused_unless_ours(_gradient: Any) -> None:
        if not ours[0]:
            raise RuntimeError("use backward(loss) of the trainer")

    model = guarded(refused_unless_ours)
    optimizer = sgd(model)
    for _ in range(3):
        stepped_with_leave(model, optimizer, ours)
        mark()


def a_generator_in_a_checkpoint(mark: Mark) -> None:
    """Another optimizer steps between its forward and its backward; its last product is not needed again."""
    maker, judge = nn.Sequential(mlp(), nn.Linear(WIDTH, 6)), nn.Linear(6, 1)
    making, judging = sgd(maker), sgd(judge)
    for _ in range(3):
        made = checkpoint(maker, torch.randn(4, WIDTH), use_reentrant=False)
        judge(made.detach()).sum().backward()
        judging.step()
        mark()
        judge(made).sum().backward()
        making.step()
        mark()


def a_checkpointed_block_that_is_also_called_alone(mark: Mark) -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(mlp() for _ in range(2))

        def forward(self, x: Any) -> Any:
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False)
            return x

    model = Blocks()
    optimizer = sgd(model)
    for _ in range(3):
        (
            model(torch.randn(4, WIDTH)).sum() + model.blocks[0](torch.randn(3, WIDTH)).sum()
        ).backward()
        optimizer.step()
        mark()


def collects(_module: Any, _given: Any, out: Any) -> None:
    COLLECTED.append(out)


collects.__module__ = "transformers.collects"  # a library's hooks take part in a count
COLLECTED: list[Any] = []


class Collecting(torch.nn.Module):
    """Puts hooks on its layers in its first forward, and gives what they collect to a head each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.heads = nn.ModuleList(nn.Linear(WIDTH, 3) for _ in range(2))

    def forward(self, x: Any) -> Any:
        if not getattr(self, "has_hooks", False):
            self.has_hooks = True
            for layer in self.layers:
                layer.register_forward_hook(collects)
        COLLECTED.clear()
        for layer in self.layers:
            x = layer(x)
        return sum(head(each) for head, each in zip(self.heads, COLLECTED, strict=False))


def hooks_that_a_first_forward_puts(mark: Mark) -> None:
    """What the recorder saw before that forward had none; a count's forward puts them, too."""
    model = Collecting()
    optimizer = sgd(model)
    for _ in range(3):
        model(torch.randn(4, WIDTH)).sum().backward()
        optimizer.step()
        mark()


def gradients_of_a_batch_in_pieces(mark: Mark) -> None:
    """Embeddings without gradients, a loss over all of them, then each piece once more (a gradient cache)."""
    model = mlp()
    optimizer = sgd(model)
    for _ in range(4):
        pieces = [torch.randn(4, WIDTH) for _ in range(3)]
        with torch.no_grad():
            found = torch.cat([model(each) for each in pieces])
        found.requires_grad_()
        F.cross_entropy(found @ found.T, torch.arange(12)).backward()
        optimizer.zero_grad()
        for each, slope in zip(pieces, found.grad.split(4), strict=True):
            model(each).backward(slope)
        optimizer.step()
        mark()


def widths_by_turns(mark: Mark) -> None:
    """Slimmable layers: three widths a step, by a constant of their class."""

    class Slim(nn.Linear):
        share = 1.0

        def forward(self, x: Any) -> Any:
            rows = int(self.out_features * self.share)
            return F.linear(x, self.weight[:rows, : x.shape[1]], self.bias[:rows])

    model = nn.Sequential(Slim(WIDTH, 16), nn.ReLU(), Slim(16, WIDTH))
    optimizer = sgd(model)
    for _ in range(4):
        for share in (1.0, 0.5, 0.25):
            Slim.share = share
            model(torch.randn(4, WIDTH)).square().mean().backward()
        optimizer.step()
        mark()


LOOPS = [
    gradients_of_a_batch_in_pieces, widths_by_turns,
    hooks_that_a_first_forward_puts, a_ratio, a_ratio_that_falls_below_a_threshold,
    the_step_in_a_tensor, an_array_of_depths, a_set_of_layers, a_batch_object, a_long_list, a_function,
    a_model_among_the_inputs, a_part_in_a_list, a_buffer_that_grows, the_environment,
    a_context_that_a_function_asks_for, a_product_before_a_module, a_product_handed_on_unchanged,
    a_penalty_that_begins_late, a_function_of_the_programs_own_that_costs_nothing,
    a_model_that_refuses_other_backwards,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    random.seed(0)
    recorded_as_counted(run, loop)


class Rechecked(torch.nn.Module):
    """Its last layer is computed again only where a checkpoint goes on to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Any) -> Any:
        return checkpoint(self.block, x, use_reentrant=False)


def checkpoints_that_go_on_to_their_end(mark: Mark) -> None:
    """The loop says so around some calls, and no more when they are counted."""
    model = Rechecked()
    optimizer = sgd(model)
    for step in range(4):
        with set_checkpoint_early_stop(step % 2 == 0):
            out = model(torch.randn(4, WIDTH))
        out.sum().backward()
        optimizer.step()
        mark()


@pytest.mark.parametrize(
    "loop",
    [
        a_generator_in_a_checkpoint, a_checkpointed_block_that_is_also_called_alone,
        checkpoints_that_go_on_to_their_end,
    ],
)  # fmt: skip
def test_what_is_computed_again_is_what_the_counter_says(
    run: Run, loop: Callable[[Mark], None]
) -> None:
    expected = steps_by_counter(loop)
    with run.record():
        loop(lambda: None)
    process = run.process
    found = [
        sum(int(process.costs[cost].hardware_flop or 0) * number for cost, number in step.calls)
        for step in process.steps()
    ]
    assert found == expected
    assert process.notes == ()


class Fused(torch.autograd.Function):
    """A head and its loss in one, as fused kernels are."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight)
        return (x @ weight).sum()

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        x, weight = ctx.saved_tensors
        ones = slope * torch.ones(x.shape[0], weight.shape[1])
        return ones @ weight.T, x.T @ ones


class Stateful(nn.Module):
    """Keeps a hidden state, and its graph, from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head, self.state = nn.Linear(2 * WIDTH, WIDTH), nn.Linear(WIDTH, 2), None

    def forward(self, x: Any) -> Any:
        before = torch.zeros_like(x) if self.state is None else self.state
        self.state = self.cell(torch.cat([x, before], -1)).tanh()
        return self.head(self.state)


def opened(name: str) -> Any:
    """A loss of a loop in which work is done whose cost cannot be seen; and its parameters."""
    model, weight = mlp(), nn.Parameter(torch.randn(WIDTH, 3))
    x = torch.randn(4, WIDTH)
    if name == "a fused loss":
        return Fused.apply(model(x), weight), model
    if name == "a checkpointed loss":
        return checkpoint(
            lambda h: (h @ weight).square().sum(), model(x), use_reentrant=False
        ), model
    if name == "a checkpointed loss, entered again":
        return checkpoint(
            lambda h: (h @ weight).square().sum(), model(x), use_reentrant=True
        ), model
    if name == "a hook that adds":
        model[0].register_forward_hook(lambda _, given, out: out + given[0] @ weight @ weight.T)
    if name == "a hook on gradients":
        model[0].weight.register_hook(lambda slope: slope @ slope.T @ slope)
    if name == "a scripted model":
        model = torch.jit.script(model)
        model(x), model(x)
    if name == "a state with its graph":
        model = Stateful()
        model(x)
    return model(x).sum(), model


@pytest.mark.parametrize(
    "name",
    [
        "a fused loss", "a checkpointed loss", "a checkpointed loss, entered again", "a hook that adds",
        "a hook on gradients", "a scripted model", "a state with its graph",
    ],
)  # fmt: skip
def test_what_cannot_be_seen_leaves_the_upper_end_open(run: Run, name: str) -> None:
    with run.record():
        loss, model = opened(name)
        loss.backward()
        sgd(model).step()
    bounds = run.totals.hardware_bounds
    assert bounds is not None
    assert bounds[1] is None


def test_a_refusing_hook_that_computes_leaves_no_figure(run: Run) -> None:
    """What it would have computed is in no count."""
    ours = [False]

    def turned(gradient: Any) -> Any:
        if not ours[0]:
            raise RuntimeError("use backward(loss) of the trainer")
        return gradient @ torch.eye(WIDTH)

    model = guarded(turned)
    optimizer = sgd(model)
    with run.record():
        stepped_with_leave(model, optimizer, ours)
    assert run.flop == [None]
    assert run.notes() == {"cost-unknown"}


def test_hooks_that_only_look_leave_the_count_exact(run: Run) -> None:
    seen: list[Any] = []
    model = mlp()

    def look(_module: Any, _given: Any, out: Any) -> None:
        seen.append(out.detach().mean())

    model[0].register_forward_hook(look)
    with run.record():
        model(torch.randn(4, WIDTH)).sum().backward()
        sgd(model).step()
    low, high = run.totals.hardware_bounds
    assert low == high == sum(run.flop)


def looks(_module: Any, _given: Any, out: Any) -> None:
    DEPTHS[:] = [int(out.detach().numel())]


def covers(_module: Any, given: Any, _out: Any) -> None:
    DEPTHS[:] = (given[0].T @ given[0]).tolist()


@pytest.mark.parametrize(
    ("hook", "computes"),
    [
        (looks, False),
        (lambda _module, _given, out: DEPTHS.append(out.detach().mean()), False),
        (lambda _module, _given, out: out.float(), False),
        (lambda slope: slope * 2, False),
        (lambda _module, _given, out: F.relu(out), False),
        (lambda _module, _given, out: KEPT.update(out=out), False),
        (covers, True),
        (lambda slope: slope @ slope, True),
        (lambda _module, _given, out: DEPTHS.append(out @ out.T), True),
        (lambda _module, given, out: out + present_depth(given), True),
        (print, True),
    ],
)  # fmt: skip
def test_hooks_are_told_apart_by_their_code(hook: Any, computes: bool) -> None:
    assert may_compute(hook) == computes


def in_turn(ctx: Any, layers: Any, x: Any) -> Any:
    ctx.layers = layers
    for layer in layers:
        x = layer(2 * x)
    return x


def summed_over_ranks(_ctx: Any, x: Any) -> Any:
    x = x.clone()
    torch.distributed.all_reduce(x, op=torch.distributed.ReduceOp.SUM)
    return x


def spread(ctx: Any, layer: Any, x: Any) -> Any:
    ctx.layer = layer
    return ctx.layer(*[2 * x])


@pytest.mark.parametrize(
    ("forward", "harmless"),
    [
        (lambda _ctx, x: F.relu(x).clamp(max=6), True),
        (lambda _ctx, x: torch.cat(*[[x, x]]), True),
        (lambda _ctx, x: F.linear(x, x), False),
        (summed_over_ranks, True),
        (in_turn, False),
        (spread, False),
        (lambda _ctx, layers, x: layers[0](2 * x), False),
    ],
)
def test_own_functions_are_told_apart_by_their_code(forward: Any, harmless: bool) -> None:
    """What is called is found wherever its Python keeps the mark of a call."""
    own = type("Own", (torch.autograd.Function,), {"forward": staticmethod(forward)})
    assert is_harmless(own, None) == harmless


@pytest.mark.parametrize(
    ("hook", "replaces"),
    [
        (looks, False),
        (lambda _module, _given, out: DEPTHS.append(out.detach().mean()), False),
        (lambda _module, _given, out: 0.5 * out.float(), False),
        (lambda _module, given, _out: given[0], True),
        (lambda _module, _given, out: out[:1], True),
        (lambda _module, _given, out: out.detach(), True),
        (lambda _module, given: (torch.cat([given[0], given[0]]),), True),
        (lambda _module, _given, out: out + present_depth(), True),
        (print, True),
    ],
)  # fmt: skip
def test_hooks_that_hand_on_something_else_are_told_by_their_code(
    hook: Any, replaces: bool
) -> None:
    assert may_replace(hook) == replaces


def test_a_selective_checkpoint_around_a_call_has_bounds(run: Run) -> None:
    from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

    def kept(_ctx: Any, op: Any, *_: Any, **__: Any) -> Any:
        product = op is torch.ops.aten.addmm.default
        return CheckpointPolicy.MUST_SAVE if product else CheckpointPolicy.PREFER_RECOMPUTE

    model = mlp()
    with run.record():
        checkpoint(
            model, torch.randn(4, WIDTH), use_reentrant=False,
            context_fn=lambda: create_selective_checkpoint_contexts(kept),
        ).sum().backward()  # fmt: skip
        sgd(model).step()
    # 2·4·8·8 = 512 a product: two forward, two for the weights, one for the hidden layer; again: 0 to 2.
    assert run.totals.hardware_bounds == (5 * 512, 7 * 512)


def test_a_trace_by_torchscript_is_the_same(run: Run) -> None:
    """Nothing of ours may become part of it: torch compares two traces, and raises where they differ."""
    model, x = mlp(), torch.randn(4, WIDTH)
    alone = str(torch.jit.trace(model, x, check_trace=False).graph)
    with run.record():
        recorded = str(torch.jit.trace(model, x).graph)
    assert alone.count("\n") == recorded.count("\n")
    assert alone.rpartition("return")[2] == recorded.rpartition("return")[2]


class Graph(nn.Module):
    """One layer of a graph network: neighbours' features summed by a sparse matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, neighbours: Any, x: Any) -> Any:
        return torch.sparse.mm(neighbours, self.linear(x))


def test_a_sparse_input_is_counted_by_its_entries(run: Run) -> None:
    model = Graph()
    optimizer = sgd(model)
    places = torch.tensor([[0, 1, 2], [1, 2, 0]])
    neighbours = torch.sparse_coo_tensor(places, torch.ones(3), (4, 4), check_invariants=True)
    with run.record():
        for _ in range(2):
            model(neighbours, torch.randn(4, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    # the linear and its weight's gradient: 2 x (2 x 4 x 8 x 4) = 512; three entries times a row of
    # four, there and back: 2 x (2 x 3 x 4) = 48
    assert run.totals.model_flop == 2 * 560
