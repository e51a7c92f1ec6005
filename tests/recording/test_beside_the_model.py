"""Products beside the model that no graph shows: watched, counted where they recur, else said."""

from __future__ import annotations

import importlib.util
import threading
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch._C import _len_torch_dispatch_stack as modes  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from profilers.steps.products.beside import is_safe  # noqa: E402
from tests.recording.conftest import (  # noqa: E402
    TRAIN,
    Run,
    batch,
    mlp,
    sgd,
    steps_by_counter,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flopledger.recording import Recording
    from tests.recording.conftest import Mark

STEPS = 12
CODES = 5
TO_CODES = 2 * 4 * CODES * 8
"""4 rows of 8 against five codes: 2·4·5·8."""


class Watched(Run):
    """A run whose steps are watched op by op."""

    def record(self, *args: Any, **kwargs: Any) -> Recording:
        return super().record(*args, **{"watch_products": True, **kwargs})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that is not started yet."""
    return Watched(tmp_path / "run")


def is_clean() -> bool:
    """Whether torch's stack of modes is empty, and torch knows that it is."""
    python = torch._C.DispatchKey.Python
    return not modes() and not torch._C._dispatch_tls_is_dispatch_key_included(python)


def looped(mark: Mark, beside: Callable[[int, Any], object], steps: int = STEPS) -> None:
    model = mlp()
    optimizer = sgd(model)
    for step in range(steps):
        out = model(batch())
        out.sum().backward()
        beside(step, out)
        optimizer.step()
        optimizer.zero_grad()
        mark()
        assert is_safe()


def recorded(run: Run, loop: Callable[[Mark], None], *, watched: bool = True) -> int:
    """Record a loop; answers what torch's counter says of all of it."""
    torch.manual_seed(0)
    expected = sum(steps_by_counter(loop))
    torch.manual_seed(0)
    with run.record(watch_products=watched):
        loop(lambda: None)
    assert is_clean()
    return expected


# ---------------------------------------------------------------- what recurs


def codes(_step: int, out: Any) -> None:
    with torch.no_grad():
        (out @ torch.randn(CODES, 8).T).argmax(1)


def scores_without_a_backward(_step: int, out: Any) -> None:
    """With a graph of their own, which nobody differentiates."""
    (model_of(out) @ torch.randn(CODES, 8).T).argmax(1)


def model_of(out: Any) -> Any:
    return out.detach().requires_grad_()


def in_inference_mode(_step: int, out: Any) -> None:
    with torch.inference_mode():
        nn.functional.linear(out, torch.randn(CODES, 8)).argmax(1)


@pytest.mark.parametrize("beside", [codes, scores_without_a_backward, in_inference_mode])
def test_what_each_step_computes_is_counted(run: Run, beside: Any) -> None:
    expected = recorded(run, lambda mark: looped(mark, beside))
    assert expected == STEPS * (TRAIN + TO_CODES)
    assert run.totals.model_flop == expected
    assert run.process.notes == ()


def test_steps_that_are_not_watched_are_taken_to_be_like_those_that_are(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profilers.steps.products.beside.FREE", 4)
    monkeypatch.setattr("profilers.steps.products.beside.WINDOW_NS", 10**12)
    expected = recorded(run, lambda mark: looped(mark, codes, 60))
    assert run.totals.model_flop == expected == 60 * (TRAIN + TO_CODES)


def test_what_comes_before_the_first_call_of_a_step(run: Run) -> None:
    """The first step is watched from its first call on: what it did before is like the second one's."""

    def loop(mark: Mark) -> None:
        model, matrix = mlp(), torch.randn(8, 8)
        optimizer = sgd(model)
        for _ in range(STEPS):
            model(batch() @ matrix).sum().backward()
            optimizer.step()
            mark()

    expected = recorded(run, loop)
    assert expected == STEPS * (TRAIN + 512)  # 4 rows times 8 x 8
    assert run.totals.model_flop == expected


def test_what_is_differentiated_counts_once(run: Run) -> None:
    """One head of two is trained; of the other only the forward was computed, in each step."""

    def loop(mark: Mark) -> None:
        model, head = mlp(), torch.randn(8, CODES, requires_grad=True)
        optimizer = sgd(model)
        for _ in range(STEPS):
            out = model(batch())
            trained, _ = out @ head, out @ head
            trained.sum().backward()
            optimizer.step()
            mark()

    # The trained head: forward, its own gradient and that of its input.
    assert recorded(run, loop) == STEPS * (TRAIN + 4 * TO_CODES) == run.totals.model_flop


def test_a_gradient_that_comes_a_step_later_counts_once(run: Run) -> None:
    def loop(mark: Mark) -> None:
        model, head = mlp(), torch.randn(8, CODES, requires_grad=True)
        optimizer = sgd(model)
        kept: list[Any] = []
        for _ in range(STEPS):
            model(batch()).sum().backward()
            for late in kept:
                late.sum().backward()
            kept = [torch.ones(4, 8) @ head]
            optimizer.step()
            mark()

    # The last product is never differentiated.
    assert recorded(run, loop) == STEPS * (TRAIN + TO_CODES) + (STEPS - 1) * TO_CODES
    assert run.totals.model_flop == STEPS * (TRAIN + TO_CODES) + (STEPS - 1) * TO_CODES


# ---------------------------------------------------------------- optimizers


def test_an_optimizers_own_products_are_no_model_flop(run: Run) -> None:
    def loop(mark: Mark) -> None:
        model = mlp()
        matrices = [weight for weight in model.parameters() if weight.ndim == 2]
        optimizer = torch.optim.Muon(matrices, ns_steps=5)
        for _ in range(STEPS):
            model(batch()).sum().backward()
            optimizer.step()
            mark()

    expected = recorded(run, loop)
    # Two matrices of 8 x 8, five times three products of 2·8·8·8 each.
    assert expected == STEPS * (TRAIN + 2 * 5 * 3 * 1024)
    assert run.totals.model_flop == STEPS * TRAIN
    assert run.totals.hardware_flop == expected
    assert {cost.mode for cost in run.process.costs.values()} == {"train", "optimizer"}


class Whitening(torch.optim.Optimizer):
    """Computes a product in each step, and decomposes something in every third."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {})
        self.steps = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.steps += 1
        for parameter in self.param_groups[0]["params"]:
            if parameter.ndim == 2:
                square = parameter.grad @ parameter.grad.T
                if self.steps % 3 == 0:
                    torch.linalg.eigh(square + torch.eye(8))
                parameter.sub_(1e-3 * parameter.grad)


def test_an_optimizers_work_that_no_rule_covers_opens_the_hardware_flop_alone(run: Run) -> None:
    with run.record():
        model = mlp()
        optimizer = Whitening(model.parameters())
        for _ in range(STEPS):
            model(batch()).sum().backward()
            optimizer.step()
    totals = run.totals
    assert totals.model_bounds == (STEPS * TRAIN, STEPS * TRAIN)
    assert totals.hardware_bounds == (STEPS * (TRAIN + 2 * 1024), None)
    assert "work-outside-modules" in run.notes()


# ---------------------------------------------------------------- at times


def now_and_then(step: int, out: Any) -> None:
    if step % 5 == 4:
        codes(step, out)


def test_what_happens_at_times_is_exact_where_each_step_is_watched(run: Run) -> None:
    assert recorded(run, lambda mark: looped(mark, now_and_then)) == run.totals.model_flop


def test_what_happens_at_times_opens_the_upper_end_of_steps_that_nobody_watched(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profilers.steps.products.beside.FREE", 8)
    monkeypatch.setattr("profilers.steps.products.beside.WINDOW_NS", 10**12)
    recorded(run, lambda mark: looped(mark, now_and_then, 20))
    low, high = run.totals.model_bounds
    assert (low, high) == (20 * TRAIN + TO_CODES, None)
    assert "work-outside-modules" in run.notes()


def test_an_evaluations_products_are_the_evaluations(run: Run) -> None:
    """Nothing of it is training, and steps stay alike."""

    def loop(mark: Mark) -> None:
        model = mlp()
        optimizer = sgd(model)
        for step in range(STEPS):
            model(batch()).sum().backward()
            optimizer.step()
            if step % 4 == 3:
                model.eval()
                with torch.no_grad():
                    codes(step, model(batch()))
                model.train()
            mark()

    recorded(run, loop)
    assert run.totals.model_flop == STEPS * TRAIN
    assert run.totals.model_bounds == (STEPS * TRAIN, STEPS * TRAIN)
    # Three evaluations: two layers forward, and the codes; the last one's codes follow no step.
    assert run.totals.span_flop == {"evaluation": 3 * 2 * 512 + 2 * TO_CODES}


def test_a_spans_products_are_the_spans(run: Run) -> None:
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for _ in range(STEPS):
            model(batch()).sum().backward()
            optimizer.step()
            with recording.span("metric"):
                codes(0, torch.randn(4, 8))
    assert run.totals.model_flop == STEPS * TRAIN
    # That of the last step is inside a window that no step ends.
    assert run.totals.span_flop["metric"] >= (STEPS - 1) * TO_CODES


def test_what_the_program_says_by_itself_is_not_added(run: Run) -> None:
    weight = torch.randn(CODES, 8)
    model = mlp()
    optimizer = sgd(model)
    with run.record() as recording:
        for _ in range(STEPS):
            out = model(batch())
            out.sum().backward()
            with torch.no_grad():
                nn.functional.linear(out, weight)
            recording.count(nn.functional.linear, out.detach(), weight, backward=False)
            optimizer.step()
    assert run.totals.model_flop == STEPS * (TRAIN + TO_CODES)


# ---------------------------------------------------------------- nothing is disturbed


class Theirs(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def in_a_mode_of_its_own(_step: int, _out: Any) -> None:
    with Theirs():
        mlp()(batch())


def into_a_mode_and_out_of_it_elsewhere(step: int, out: Any) -> None:
    if step % 2 == 0:
        out.mode = THEIRS
        THEIRS.__enter__()
    else:
        THEIRS.__exit__(None, None, None)


THEIRS = Theirs()


def a_call_in_inference_mode_that_raises(_step: int, _out: Any) -> None:
    with pytest.raises(RuntimeError), torch.inference_mode():
        mlp()(torch.randn(4, 7))


def a_compiled_function(_step: int, out: Any) -> None:
    compiled(out.detach())


@torch.compile(backend="aot_eager")
def compiled(x: Any) -> Any:
    torch._dynamo.graph_break()
    return HEAD(x).sum()


HEAD = nn.Linear(8, 8)


@pytest.mark.parametrize(
    "beside",
    [
        in_a_mode_of_its_own,
        into_a_mode_and_out_of_it_elsewhere,
        a_call_in_inference_mode_that_raises,
        a_compiled_function,
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_torchs_stack_of_modes_is_as_the_program_left_it(run: Run, beside: Any) -> None:
    with run.record():
        model = mlp()
        optimizer = sgd(model)
        for step in range(STEPS):
            out = model(batch())
            out.sum().backward()
            beside(step, out)
            optimizer.step()
            torch.zeros(1) + 1  # an op with a key for a mode that is gone would raise
    assert is_clean()
    assert run.totals.model_bounds[0] >= STEPS * TRAIN


def test_an_optimizer_that_raises(run: Run) -> None:
    class Raises(torch.optim.SGD):
        fails = False

        def step(self, closure: Any = None) -> Any:
            if self.fails:
                raise ValueError("not now")
            return super().step(closure)

    model = mlp()
    sgd(
        model
    )  # from now on torch tells of the steps of its class, too, which are parts of the others
    optimizer = Raises(model.parameters(), lr=1e-3)
    with run.record():
        for step in range(STEPS):
            model(batch()).sum().backward()
            optimizer.fails = step % 4 == 2
            if optimizer.fails:
                with pytest.raises(ValueError, match="not now"):
                    optimizer.step()
            else:
                optimizer.step()
    assert is_clean()
    assert run.totals.model_flop == STEPS * TRAIN


def test_no_window_outlives_the_recording(run: Run) -> None:
    model = mlp()
    with run.record():
        model(batch())
        assert modes() == 1
    assert is_clean()
    assert run.process.spans[0].what == "unfinished"


def test_threads_that_train_at_once(run: Run) -> None:
    """None is disturbed, whichever of them counts; the figure has an open end."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            model = mlp()
            optimizer = sgd(model)
            for _ in range(2 * STEPS):
                model(batch()).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
        except BaseException as error:  # noqa: BLE001 - whatever it is
            raised.append(error)

    with run.record():
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert raised == []
    low, high = run.totals.model_bounds
    assert high is None or high >= 3 * 2 * STEPS * TRAIN
    assert low <= 3 * 2 * STEPS * TRAIN


# ---------------------------------------------------------------- adapters


@pytest.mark.skipif(not importlib.util.find_spec("peft"), reason="peft is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layer_by_layer", [False, True])
@pytest.mark.parametrize("watched", [False, True])
def test_adapters_that_are_merged_are_counted_each_time(
    run: Run, monkeypatch: pytest.MonkeyPatch, watched: bool, layer_by_layer: bool
) -> None:
    monkeypatch.setattr("profilers.steps.products.beside.FREE", 1)
    monkeypatch.setattr("profilers.steps.products.beside.WINDOW_NS", 10**12)

    def loop(mark: Mark) -> None:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(Two(), LoraConfig(r=2, target_modules=["a", "b"]))
        optimizer = sgd(model)
        for step in range(STEPS):
            model(batch()).sum().backward()
            optimizer.step()
            if step % 5 == 3 and layer_by_layer:
                for part in model.modules():
                    if hasattr(part, "lora_A"):
                        part.merge()
                        part.unmerge()
            elif step % 5 == 3:
                model.merge_adapter()
                model.unmerge_adapter()
            mark()

    before = dict(vars(importlib.import_module("peft.tuners.tuners_utils").BaseTuner))
    expected = recorded(run, loop, watched=watched)
    merges = 2 * 2 * 2 * (2 * 8 * 8 * 2)
    """Two times, in and out, of two layers: 8 x 2 times 2 x 8."""
    assert run.totals.model_flop == expected
    assert expected - run.process.costs[0].model_flop * STEPS in (merges, expected)
    assert vars(importlib.import_module("peft.tuners.tuners_utils").BaseTuner) == before


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return self.b(self.a(x).relu())
