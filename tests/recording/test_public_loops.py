"""Loops in which more than shapes decides what a step costs, or work lies outside of modules.

Each step equals torch's own counter on the same step; where data decides, there are bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from tests.recording.conftest import recorded_as_counted, sgd  # noqa: E402
from tests.recording.test_strange import Net, ids  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording.conftest import Mark, Run


def packed_by_lengths(mark: Mark) -> None:
    """Equal shapes; what attention costs is in the numbers."""

    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(16, 48)

        def forward(self, x: Any, lengths: Any) -> Any:
            parts = [part.chunk(3, -1) for part in self.qkv(x).split(lengths.tolist())]
            return torch.cat([(q @ k.T).softmax(-1) @ v for q, k, v in parts])

    model = Packed()
    optimizer = sgd(model)
    for lengths in ([4, 4, 4], [10, 1, 1], [6, 3, 3], [4, 4, 4]):
        model(torch.randn(12, 16), torch.tensor(lengths)).sum().backward()
        optimizer.step()
        mark()


def packed_micro_batches(mark: Mark) -> None:
    """The same within one step, before anything was counted."""

    class Chosen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: Any, mask: Any) -> Any:
            return self.after(self.before(x)[mask])

    model = Chosen()
    optimizer = sgd(model)
    for chosen in ((2, 7, 5), (9, 1, 1)):
        for number in chosen:
            model(torch.randn(10, 16), torch.arange(10) < number).sum().backward()
        optimizer.step()
        mark()


def exchanged_parameters(mark: Mark) -> None:
    model = Net()
    optimizer = sgd(model)
    for step in range(4):
        own = dict(model.named_parameters())
        frozen = {name: value if "head" in name else value.detach() for name, value in own.items()}
        out = torch.func.functional_call(model, frozen, (ids(),)) if step % 2 else model(ids())
        out.sum().backward()
        optimizer.step()
        mark()


def a_contrastive_loss(mark: Mark) -> None:
    one, other = nn.Linear(16, 8), nn.Linear(12, 8)
    optimizer = sgd(one, other)
    for rows in (4, 6, 8, 8):
        scores = one(torch.randn(rows, 16)) @ other(torch.randn(rows, 12)).T
        F.cross_entropy(scores, torch.arange(rows)).backward()
        optimizer.step()
        mark()


def a_tied_head_in_the_loop_twice(mark: Mark) -> None:
    """Two passes through one product: its forward counts once."""
    embedding, body = nn.Embedding(20, 16), nn.Linear(16, 16)
    optimizer = sgd(embedding, body)
    for _ in range(3):
        logits = body(embedding(ids(3, 5) % 20)) @ embedding.weight.T
        loss = logits.logsumexp(-1).mean()
        loss.backward(retain_graph=True)
        loss.backward()
        optimizer.step()
        mark()


def a_loop_in_a_modules_clothes(mark: Mark) -> None:
    class Trainer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()
            self.optimizer = sgd(self.net)

        def forward(self, tokens: Any) -> Any:
            loss = self.net(tokens).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss.detach()

    trainer = Trainer()
    for _ in range(3):
        trainer(ids())
        mark()


def sharpness_aware(mark: Mark) -> None:
    model = Net()
    optimizer = sgd(model)
    for _ in range(3):
        tokens = ids()
        model(tokens).square().sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(parameter.grad, alpha=1e-4)
        optimizer.zero_grad()
        model(tokens).square().sum().backward()
        optimizer.step()
        mark()


def weights_from_a_network(mark: Mark) -> None:
    maker, user = nn.Linear(4, 16 * 8), nn.Linear(16, 8, bias=False)
    optimizer = sgd(maker)
    for _ in range(3):
        made = {"weight": maker(torch.randn(1, 4)).view(8, 16)}
        torch.func.functional_call(user, made, (torch.randn(5, 16),)).sum().backward()
        optimizer.step()
        mark()


def two_losses_on_one_trunk(mark: Mark) -> None:
    trunk, one, other = Net(), nn.Linear(50, 3), nn.Linear(50, 3)
    optimizer = sgd(trunk, one, other)
    for _ in range(3):
        hidden = trunk(ids())
        one(hidden).sum().backward(retain_graph=True)
        other(hidden).square().sum().backward()
        optimizer.step()
        mark()


LOOPS = [
    packed_by_lengths,
    packed_micro_batches,
    exchanged_parameters,
    a_contrastive_loss,
    a_tied_head_in_the_loop_twice,
    a_loop_in_a_modules_clothes,
    sharpness_aware,
    weights_from_a_network,
    two_losses_on_one_trunk,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_each_step_is_what_the_counter_says(run: Run, loop: Callable[[Mark], None]) -> None:
    recorded_as_counted(run, loop)


@pytest.mark.parametrize("asked", ["a number", "a size"])
def test_what_data_decides_has_an_open_bound(run: Run, asked: str) -> None:
    class Leaving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

        def forward(self, x: Any) -> Any:
            for block in self.blocks:
                if asked == "a size":
                    x = x[x.amax(-1) < 100]
                elif x.max() > 100:
                    break
                x = block(x).relu()
            return x

    model = Leaving()
    optimizer = sgd(model)
    with run.record():
        for shift in (0, 200):
            (model(torch.randn(4, 16) + shift).sum() + model.blocks[0].weight.sum()).backward()
            optimizer.step()
    costs = run.process.costs.values()
    assert {cost.bounds for cost in costs} == {(0, None)}
    assert "cost-bounded" in run.notes()
    assert not any(hasattr(parameter, "_flopcount_data") for parameter in model.parameters())


def test_a_check_of_numbers_decides_nothing(run: Run) -> None:
    class Checked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 8)

        def forward(self, x: Any) -> Any:
            if x.isnan().any():
                raise ValueError("not a number")
            out = self.layer(x)
            self.seen = out.detach().mean().item()
            return out

    model = Checked()
    optimizer = sgd(model)
    with run.record():
        for _ in range(2):
            model(torch.randn(4, 16)).sum().backward()
            optimizer.step()
    assert run.flop == [2 * (2 * 4 * 16 * 8)] * 2  # the input needs no gradient
    assert run.notes() == set()


def test_a_count_steps_no_optimizer(run: Run) -> None:
    """An optimizer that nobody can know of beforehand: the weights are the same bit for bit."""

    def trained() -> Any:
        torch.manual_seed(0)
        net = nn.Linear(8, 8)
        hidden = [torch.optim.Adam(net.parameters())]

        class Loop(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = net

            def forward(self, x: Any) -> Any:
                self.net(x).square().mean().backward()
                hidden[0].step()
                return x

        loop = Loop()
        for _ in range(4):
            loop(torch.randn(4, 8))
        return net.weight.detach().clone()

    alone = trained()
    with run.record():
        recorded = trained()
    assert torch.equal(alone, recorded)
    assert None in run.flop  # not known, and never zero


def test_a_convolution_in_the_loop_leaves_the_upper_end_open(run: Run) -> None:
    model, kernel = nn.Linear(16, 16), torch.randn(1, 1, 3, requires_grad=True)
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            F.conv1d(model(torch.randn(4, 16)).unsqueeze(1), kernel).sum().backward()
            optimizer.step()
    process = run.process
    for step in process.steps():
        assert None in {(process.costs[cost].bounds or (0, 0))[1] for cost, _ in step.calls}
    assert "work-outside-modules" in run.notes()


def test_the_second_half_of_a_zero_bubble_backward(run: Run) -> None:
    """Gradients of the input first; those of the weights later, from kept inner gradients."""
    first, second = nn.Linear(8, 16), nn.Linear(16, 4)
    model = nn.Sequential(first, nn.ReLU(), second)
    optimizer = sgd(model)
    edge = torch.autograd.graph.get_gradient_edge
    with run.record():
        for _ in range(3):
            x = torch.randn(4, 8, requires_grad=True)
            out = model(x)
            # The product of the first layer: from the second one's input through the ReLU.
            inner = out.grad_fn.next_functions[1][0].next_functions[0][0]
            kept: list[Any] = []
            handle = inner.register_prehook(kept.extend)
            torch.autograd.grad(out.sum(), [x], retain_graph=True)
            handle.remove()
            begins = torch.autograd.graph.GradientEdge(inner, 0)
            (first.weight.grad,) = torch.autograd.grad([begins], [edge(first.weight)], kept)
            (second.weight.grad,) = torch.autograd.grad(
                [edge(out)], [edge(second.weight)], [torch.ones_like(out)]
            )
            optimizer.step()
    # Forward, gradients of inputs, gradients of weights: torch's counter cannot be left on here.
    assert run.flop == 3 * [3 * 2 * 4 * (8 * 16 + 16 * 4)]
    assert run.notes() == set()


def test_a_backward_from_inside_to_what_is_no_weight_opens_the_upper_end(run: Run) -> None:
    first, second = nn.Linear(8, 16), nn.Linear(16, 4)
    model = nn.Sequential(first, second)
    optimizer = sgd(model)
    x = torch.randn(4, 8, requires_grad=True)
    with run.record():
        out = model(x)
        hidden = torch.autograd.graph.GradientEdge(out.grad_fn.next_functions[1][0], 0)
        torch.autograd.grad([hidden], [x], grad_outputs=[torch.ones(4, 16)], retain_graph=True)
        out.sum().backward()
        optimizer.step()
    assert "work-outside-modules" in run.notes()
    costs = [run.process.costs[cost] for step in run.process.steps() for cost, _ in step.calls]
    assert any(cost.bounds is not None and cost.bounds[1] is None for cost in costs)


class Sealed:
    """An output with neither items nor a dictionary; what lies in two of them nobody finds."""

    __slots__ = ("hidden",)

    def __init__(self, hidden: Any) -> None:
        self.hidden = hidden


@pytest.mark.parametrize(
    ("wrap", "loss", "is_open"),
    [
        (lambda h: [h * 1.0, h * 2.0], sum, False),
        # Only the first are watched; behind the others lies no product that is not behind these, too.
        (lambda h: [h * float(n) for n in range(40)], sum, False),
        (lambda h: [h * float(n) for n in range(40)], lambda out: out[30], True),
        (Sealed, lambda out: out.hidden, False),
        (lambda h: Sealed(Sealed(h)), lambda out: out.hidden.hidden, True),
    ],
)
def test_products_inside_of_a_call_are_never_counted_twice(
    run: Run, wrap: Any, loss: Any, is_open: bool
) -> None:
    """Where a backward enters a model by an output that nobody watches, the upper end is open."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 8)

        def forward(self, x: torch.Tensor) -> Any:
            return wrap(self.second(torch.relu(self.first(x))))

    model = Two()
    optimizer = sgd(model)
    with run.record():
        for _ in range(3):
            loss(model(torch.randn(4, 8))).sum().backward()
            optimizer.step()
    forward = 2 * 4 * 8 * 16 * 2
    most = forward + 1024 + 2048  # the first layer's input asks for no gradient
    for step in run.process.steps():
        costs = [run.process.costs[cost] for cost, _ in step.calls]
        bounds = [cost.bounds for cost in costs if cost.bounds is not None]
        assert any(high is None for _, high in bounds) == is_open
        counted = sum(int(cost.model_flop or 0) for cost in costs)
        assert forward <= counted <= most
        assert is_open or counted == most
