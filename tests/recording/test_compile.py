"""Compiled models: counted like eager ones, and compiled as if nobody watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch._dynamo.utils import counters  # noqa: E402

from tests.recording.conftest import mlp, sgd  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording.conftest import Run

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit"),
]
TRAIN = 5 * 512
"""Two layers of 8 x 8 on 4 rows; see test_loops."""


@pytest.fixture(autouse=True)
def fresh() -> Any:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()
    counters.clear()


class Broken(torch.nn.Module):
    """Two layers with a graph break between them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        x = self.a(x)
        torch._dynamo.graph_break()
        return self.b(x)


class PartlyCompiled(torch.nn.Module):
    """A compiled layer inside an eager model."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        self.b.compile(backend="aot_eager")

    def forward(self, x: Any) -> Any:
        return self.b(self.a(x))


class Plain(torch.nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return self.b(self.a(x))


def wrapped() -> Any:
    return torch.compile(mlp(), backend="aot_eager", fullgraph=True)


def in_place() -> Any:
    model = Plain()
    model.compile(backend="aot_eager", fullgraph=True)
    return model


def with_breaks() -> Any:
    return torch.compile(Broken(), backend="aot_eager")


def hooked() -> Any:
    """A hook on an inner module makes torch trace the whole of its call."""
    model = mlp()
    model[0].register_forward_hook(lambda *_: None)
    return torch.compile(model, backend="aot_eager")


def loop(model: Any, optimizer: Any, steps: int = 6) -> list[float]:
    losses = []
    torch.manual_seed(1)
    for step in range(steps):
        loss = model(torch.randn(4, 8)).square().sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step == 3:
            model.eval()
            with torch.no_grad():
                model(torch.randn(4, 8))
            model.train()
    return losses


def seen_by_dynamo() -> dict[str, Any]:
    return {
        "graphs": counters["stats"]["unique_graphs"],
        "breaks": sum(counters["graph_break"].values()),
        "frames": dict(counters["frames"]),
        "recompiles": len(torch._dynamo.utils.compilation_time_metrics.get("recompile", [])),
    }


@pytest.mark.parametrize("make", [wrapped, in_place, with_breaks, PartlyCompiled, hooked])
@pytest.mark.parametrize("made_inside", [False, True])
def test_compiled_the_same_and_counted(
    run: Run, make: Callable[[], Any], made_inside: bool
) -> None:
    torch.manual_seed(0)
    plain = make()
    expected = loop(plain, sgd(plain))
    alone = seen_by_dynamo()
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    model = None if made_inside else make()
    with run.record():
        model = make() if model is None else model
        losses = loop(model, sgd(model))
    assert losses == expected
    assert seen_by_dynamo() == alone
    assert run.flop == [TRAIN] * 6
    assert dict(run.totals.span_flop) == {"evaluation": 2 * 512}


def test_compiling_in_the_middle_of_a_run(run: Run) -> None:
    model = Plain()
    optimizer = sgd(model)
    with run.record():
        loop(model, optimizer, 2)
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        loop(compiled, optimizer, 2)
        model.compile(backend="aot_eager")
        loop(model, optimizer, 2)
    assert run.flop == [TRAIN] * 6
    assert sum(counters["graph_break"].values()) == 0


def test_recording_begins_and_ends_while_a_compiled_model_trains(run: Run) -> None:
    model = torch.compile(mlp(), backend="aot_eager", fullgraph=True)
    optimizer = sgd(model)
    loop(model, optimizer, 2)
    graphs = counters["stats"]["unique_graphs"]
    with run.record():
        loop(model, optimizer, 3)
    loop(model, optimizer, 2)
    assert run.flop == [TRAIN] * 3
    assert counters["stats"]["unique_graphs"] == graphs


def test_a_compiled_optimizer_step_is_seen(run: Run) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    step = torch.compile(lambda: optimizer.step(), backend="aot_eager")
    model(torch.randn(4, 8)).sum().backward()
    step()
    alone = sum(counters["graph_break"].values())
    torch._dynamo.reset()
    counters.clear()
    with run.record():
        for _ in range(3):
            model(torch.randn(4, 8)).sum().backward()
            step()
            optimizer.zero_grad()
    assert run.flop == [TRAIN] * 3
    assert sum(counters["graph_break"].values()) == alone


def test_a_compiled_step_is_none_of_a_left_over_optimizer(run: Run) -> None:
    """It cannot be seen which one stepped; one that trains nothing that was called did not."""
    old = mlp()
    left_over = torch.optim.Adam(old.parameters())
    for _ in range(7):
        old(torch.randn(4, 8)).sum().backward()
        left_over.step()
    model = mlp()
    optimizer = sgd(model)
    step = torch.compile(lambda: optimizer.step(), backend="aot_eager")
    with run.record():
        for _ in range(3):
            model(torch.randn(4, 8)).sum().backward()
            step()
            optimizer.zero_grad()
    assert run.process.resumes == ()
    assert [one.number for one in run.process.steps()] == [1, 2, 3]
    assert run.flop == [TRAIN] * 3
    del left_over


def test_optimizers_that_are_compiled_are_learned_as_their_models_are_called(run: Run) -> None:
    """Else the second one's model would be nobody's, and its evaluation a teacher's call."""
    first, second = mlp(), mlp()
    optimizers = [sgd(first), sgd(second)]
    steps = [torch.compile(each.step, backend="aot_eager") for each in optimizers]
    with run.record():
        for model, optimizer, step in zip((first, second), optimizers, steps, strict=True):
            for _ in range(2):
                model(torch.randn(4, 8)).sum().backward()
                step()
                optimizer.zero_grad()
        with torch.no_grad():
            second.eval()(torch.randn(4, 8))
        first(torch.randn(4, 8)).sum().backward()
        steps[0]()
    (span,) = run.process.spans
    assert span.what == "evaluation"
    assert run.flop == [TRAIN] * 5


def test_a_model_inside_a_compiled_function(run: Run) -> None:
    """Its call is part of a graph and cannot be seen: the step says so and has no figure.

    The first step traces a backward, which computes nothing.
    """
    model = mlp()
    optimizer = sgd(model)

    @torch.compile(backend="aot_eager")
    def loss_of(x: Any) -> Any:
        return model(x).square().sum()

    with run.record():
        for _ in range(2):
            loss_of(torch.randn(4, 8)).backward()
            optimizer.step()
    assert run.flop == [None] * 2
    assert run.notes() == {"work-outside-modules"}  # where the backward begins, the graph shows it
    assert run.totals.hardware_bounds == (0, None)
