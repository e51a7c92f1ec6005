"""Loops as people write them: which calls belong to which step, and what they cost.

A linear layer of 8 x 8 on 4 rows costs 2·4·8·8 = 512 FLOP forward, 512 for its weight's gradient
and 512 for its input's. The first layer of a model needs no input gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils._per_sample_grad import call_for_per_sample_grads  # noqa: E402

from tests.recording.conftest import ONE, TRAIN, Run, batch, mlp, sgd, train  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plain_loop(run: Run) -> None:
    model = mlp()
    with run.record(model=model) as recording:
        train(model, sgd(model), 3)
    assert run.flop == [TRAIN] * 3
    assert run.process.sealed == "finished"
    assert [step.samples for step in run.process.steps()] == [4, 4, 4]
    assert [step.optimizer for step in run.process.steps()] == ["SGD"] * 3
    summary = recording.summary()
    assert summary["model_flop"] == summary["hardware_flop"] == 3 * TRAIN
    assert (summary["steps"], summary["samples"], summary["tokens"]) == (3, 12, None)
    assert summary["mfu"] is None
    assert summary["energy_joules"] is None
    assert summary["duration_seconds"] > 0


class Own(torch.nn.Module):
    """A loss as a module of the program's own."""

    def forward(self, given: Any, wanted: Any) -> Any:
        return torch.nn.functional.cross_entropy(given, wanted)


@pytest.mark.parametrize("loss", [torch.nn.CrossEntropyLoss(), Own()], ids=["torch's", "own"])
def test_a_loss_module_says_nothing_of_how_many_samples_there_were(run: Run, loss: Any) -> None:
    """It is called with a row for each token; the batch has 2 samples of 6 tokens."""
    model = torch.nn.Sequential(torch.nn.Embedding(8, 8), torch.nn.Linear(8, 8))
    optimizer = sgd(model)
    tokens = torch.randint(0, 8, (2, 6))
    with run.record():
        for _ in range(3):
            loss(model(tokens).flatten(0, 1), tokens.flatten()).backward()
            optimizer.step()
    # 12 rows: forward 2·12·8·8, and again for the weight's gradient and the embedding's.
    assert run.flop == [3 * 2 * 12 * 8 * 8] * 3
    assert {(step.samples, step.tokens) for step in run.process.steps()} == {(2, 12)}
    assert run.notes() == set()


def test_models_and_optimizers_made_after_the_start(run: Run) -> None:
    with run.record():
        model = mlp()
        train(model, sgd(model), 2)
    assert run.flop == [TRAIN, TRAIN]


def test_gradient_accumulation_is_one_step(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record():
        for _ in range(2):
            for _ in range(4):
                model(batch()).sum().backward()
            optimizer.step()
    assert run.flop == [4 * TRAIN, 4 * TRAIN]
    assert [step.samples for step in run.process.steps()] == [16, 16]


def test_saying_micro_batches_adds_up(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for _ in range(2):
            for micro in range(4):
                model(batch()).sum().backward()
                if micro == 3:
                    optimizer.step()
                recording.step(tokens=100)
    assert run.flop == [4 * TRAIN, 4 * TRAIN]
    assert [step.tokens for step in run.process.steps()] == [400, 400]
    assert [step.tokens_from for step in run.process.steps()] == ["explicit"] * 2


def test_saying_a_step_after_the_evaluation_still_means_that_step(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for number in (7, 8):
            train(model, optimizer)
            model.eval()
            with torch.no_grad():
                model(batch())
            model.train()
            recording.step(tokens=10, number=number)
    assert [(step.number, step.tokens) for step in run.process.steps()] == [(7, 10), (8, 10)]


def test_steps_without_any_optimizer_are_said(run: Run, tmp_path: Path) -> None:
    model = mlp()
    with run.record(automatic=False) as recording:
        for _ in range(3):
            model(batch()).sum().backward()
            recording.step(samples=4)
    assert run.flop == [TRAIN] * 3
    assert [step.optimizer for step in run.process.steps()] == [None] * 3


def test_evaluation_is_kept_apart(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record():
        for mode in (torch.no_grad, torch.inference_mode):
            train(model, optimizer)
            model.eval()
            with mode():
                for _ in range(3):
                    model(batch())
            model.train()
        train(model, optimizer)
    assert run.flop == [TRAIN] * 3
    assert dict(run.totals.span_flop) == {"evaluation": 6 * 2 * ONE}
    assert all(span.source == "seen" for span in run.process.spans)


def test_evaluation_before_the_first_step_is_known_afterwards(run: Run) -> None:
    model = mlp()
    with run.record():
        model.eval()
        with torch.no_grad():
            model(batch())
        model.train()
        train(model, sgd(model), 2)
    assert run.flop == [TRAIN, TRAIN]
    assert dict(run.totals.span_flop) == {"evaluation": 2 * ONE}


def test_a_named_span_takes_everything_inside(run: Run) -> None:
    model = mlp()
    with run.record() as recording:
        train(model, sgd(model))
        with recording.span("probe"):
            model(batch()).sum().backward()
    assert run.flop == [TRAIN]
    assert dict(run.totals.span_flop) == {"probe": TRAIN}


def test_reference_models_and_discarded_outputs_cost_their_forward(run: Run) -> None:
    policy, reference = mlp(), mlp().eval()
    optimizer = sgd(policy)
    with run.record():
        for _ in range(2):
            with torch.no_grad():
                reference(batch())
            policy(batch())  # nobody differentiates this one
            train(policy, optimizer)
    assert run.flop == [TRAIN + 2 * ONE + 2 * ONE] * 2
    assert dict(run.totals.span_flop) == {}


def test_a_teacher_that_joins_late_is_seen_at_its_first_call(run: Run) -> None:
    class Coder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = mlp(), mlp()

    student, teacher, coder = mlp(), mlp(), Coder()
    optimizer = sgd(student)
    with run.record():
        train(student, optimizer, 6)
        with torch.no_grad():
            wanted = coder.encoder(teacher(batch()))
        (student(batch()) - wanted).square().sum().backward()
        optimizer.step()
    # Two layers forward each: 2 x 512 of the teacher, 2 x 512 of the encoder.
    assert run.flop == [TRAIN] * 6 + [TRAIN + 4 * ONE]


def test_alternating_optimizers_each_make_a_step(run: Run) -> None:
    """A GAN: the discriminator sees a real and a detached batch, then the generator trains."""
    generator, critic = mlp(), mlp()
    one, other = sgd(critic), sgd(generator)
    with run.record():
        for _ in range(2):
            critic(batch()).sum().backward()
            critic(generator(batch()).detach()).sum().backward()
            one.step()
            critic.requires_grad_(requires_grad=False)
            critic(generator(batch())).sum().backward()
            other.step()
            critic.requires_grad_(requires_grad=True)
    # The frozen critic: two forward, two input gradients (its input needs one); generator: whole.
    assert run.flop == [2 * TRAIN + 2 * ONE, TRAIN + 4 * ONE] * 2
    assert [step.optimizer for step in run.process.steps()] == ["SGD", "SGD#2"] * 2


def test_optimizers_that_step_together_make_one_step(run: Run) -> None:
    model = mlp()
    adam = torch.optim.Adam(model[0].parameters())
    plain = sgd(model[2])
    with run.record():
        for _ in range(3):
            model(batch()).sum().backward()
            adam.step()
            plain.step()
    assert run.flop == [TRAIN] * 3
    assert [step.optimizer for step in run.process.steps()] == ["Adam+SGD"] * 3


class Doubling(torch.optim.SGD):  # type: ignore[misc]
    """Steps as its base class does, with gradients of twice the size."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.mul_(2.0)
        return super().step(closure)


def test_an_optimizer_that_steps_as_its_base_class_does_makes_one_step(run: Run) -> None:
    """Torch calls its hooks twice where an optimizer of the base class was made, too."""
    model, other = mlp(), mlp()
    optimizer, plain = Doubling(model.parameters(), lr=1e-3), sgd(other)
    with run.record():
        train(other, plain, steps=2)
        train(model, optimizer, steps=30)
    assert run.flop == [TRAIN] * 32
    assert run.notes() == set()


def test_unfreezing_is_noticed(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    model[0].requires_grad_(requires_grad=False)
    with run.record():
        train(model, optimizer)
        model[0].requires_grad_(requires_grad=True)
        train(model, optimizer)
    # Frozen first layer: two forward and the second layer's weight gradient.
    assert run.flop == [3 * ONE, TRAIN]


def test_changing_the_model_is_noticed(run: Run) -> None:
    model = mlp()
    with run.record():
        train(model, sgd(model))
        model.append(torch.nn.Linear(8, 8))
        train(model, sgd(model))
    assert run.flop == [TRAIN, TRAIN + 3 * ONE]


def test_lbfgs_calls_its_closure_several_times(run: Run) -> None:
    model = mlp()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    calls = []

    def closure() -> Any:
        optimizer.zero_grad()
        calls.append(1)
        loss = model(inputs).square().sum()
        loss.backward()
        return loss

    inputs = batch()
    with run.record():
        optimizer.step(closure)
        first = len(calls)
        optimizer.step(closure)
    assert first > 1
    assert run.flop == [first * TRAIN, (len(calls) - first) * TRAIN]


def test_two_backwards_through_one_forward(run: Run) -> None:
    """A trunk with two heads, each loss going back by itself: the trunk's backward runs twice."""

    class TwoHeads(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.a, self.b = (torch.nn.Linear(8, 8) for _ in range(3))

        def forward(self, x: Any) -> Any:
            hidden = self.trunk(x)
            return {"a": self.a(hidden), "b": self.b(hidden)}

    model = TwoHeads()
    optimizer = sgd(model)
    with run.record():
        for both in (True, False):
            out = model(batch())
            out["a"].sum().backward(retain_graph=both)
            if both:
                out["b"].sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    # Forward 3; each pass: a head's weight and input gradient, the trunk's weight gradient.
    assert run.flop == [9 * ONE, 6 * ONE]


def test_a_backward_of_an_earlier_steps_call(run: Run) -> None:
    model, other = mlp(), mlp()
    one, two = sgd(other), sgd(model)
    with run.record():
        kept = model(batch()).sum()
        train(other, one)
        kept.backward()
        two.step()
    assert run.flop == [TRAIN + 2 * ONE, 3 * ONE]


def test_double_backward_through_two_calls_has_an_open_bound(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    x = batch().requires_grad_()
    with run.record():
        together = model(x).sum() + model(x + 1).sum()  # whose gradient is whose?
        (grad,) = torch.autograd.grad(together, x, create_graph=True)
        grad.square().sum().backward()
        optimizer.step()
    assert run.notes() == {"double-backward"}
    low, high = run.totals.hardware_bounds
    assert low > 0
    assert high is None


def test_a_skipped_optimizer_step_still_cost_its_flop(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    with run.record():
        for number in range(3):
            loss = model(batch()).sum() * (float("inf") if number == 1 else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    # The second step was skipped: its work is in the third's.
    assert run.flop == [TRAIN, 2 * TRAIN]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_says_what_the_matrix_units_were_fed_with(run: Run, dtype: Any) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record():
        with torch.autocast("cpu", dtype=dtype):
            loss = model(batch()).sum()
        loss.backward()
        optimizer.step()
        train(model, optimizer)
    name = {torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    assert dict(run.totals.by_dtype) == {name: TRAIN, "fp32": TRAIN}


@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputation_is_kept_apart(run: Run, reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(3)])

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = checkpoint(
                    torch.nn.Sequential(layer, torch.nn.ReLU()), x, use_reentrant=reentrant
                )
            return x

    model = Checkpointed()
    optimizer = sgd(model)
    with run.record():
        for _ in range(2):
            model(batch().requires_grad_()).sum().backward()
            optimizer.step()
    assert run.flop == [9 * ONE, 9 * ONE]
    assert run.totals.phases["recompute"] == 2 * 3 * ONE
    assert run.totals.hardware_flop == 2 * 12 * ONE


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_around_the_model_itself(run: Run, reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    model = mlp()
    optimizer = sgd(model)
    with run.record():
        for _ in range(2):
            x = batch().requires_grad_()
            checkpoint(model, x, use_reentrant=reentrant).sum().backward()
            optimizer.step()
    # Two forward, four backward (the input needs a gradient), two forward again.
    assert run.flop == [6 * ONE, 6 * ONE]
    assert run.totals.hardware_flop == 2 * 8 * ONE


def test_models_that_take_no_tensors_and_models_that_compute_nothing(run: Run) -> None:
    class Table(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(4, 8))
            self.inner = torch.nn.Linear(8, 8)

        def forward(self) -> Any:
            return self.inner(self.weight)

    model = Table()
    with run.record():
        model().sum().backward()
        sgd(model).step()
    # Forward, weight gradient, and the table's own gradient.
    assert run.flop == [3 * ONE]


def test_hooks_of_the_program_do_not_fire_and_are_named(run: Run) -> None:
    model = mlp()
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    with run.record():
        train(model, sgd(model), 2)
    assert len(seen) == 2
    assert run.notes() == {"hooks-not-counted"}
    assert run.flop == [TRAIN, TRAIN]


def test_a_model_that_cannot_be_counted_is_unknown_and_never_zero(run: Run) -> None:
    once = iter([True])  # what was taken from an iterator cannot be put back for a count

    class Opaque(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            if not next(once, False):
                raise RuntimeError("not again")
            return self.inner(x)

    model = Opaque()
    with run.record() as recording:
        model(batch()).sum().backward()
        sgd(model).step()
    assert run.flop == [None]
    assert run.totals.model_flop is None
    assert run.totals.hardware_bounds == (0, None)
    assert "cost-unknown" in run.notes()
    assert recording.summary()["model_flop"] is None


def test_stated_and_counted_work_joins_the_step(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for _ in range(2):
            out = model(batch())
            recording.state(forward=1000, backward=2000, dtype="bf16", name="kernel")
            recording.count(torch.matmul, torch.ones(4, 8), torch.ones(8, 8), backward=False)
            out.sum().backward()
            optimizer.step()
    assert run.flop == [TRAIN + 3000 + ONE] * 2
    assert {cost.how for cost in run.process.costs.values()} == {"meta", "stated"}


def test_gradients_of_each_sample_have_bounds(run: Run) -> None:
    """Weights of torch's own class refuse to be asked for anything, and are not."""
    model = mlp()
    optimizer = sgd(model)
    each = call_for_per_sample_grads(model, batch_size=4)
    with run.record():
        each(batch()).sum().backward()
        for parameter in model.parameters():
            parameter.grad = parameter.grad_sample.mean(0)
        optimizer.step()
    assert run.flop == [None]
    assert run.notes() == {"cost-bounded"}


def test_a_function_transform_is_said(run: Run) -> None:
    model = mlp()
    parameters = dict(model.named_parameters())

    def loss(values: Any, x: Any) -> Any:
        return torch.func.functional_call(model, values, (x,)).sum()

    with run.record() as recording:
        torch.func.grad(loss)(parameters, batch())
        recording.step()
    assert "transformed-call" in run.notes()
    assert run.flop == [None]
