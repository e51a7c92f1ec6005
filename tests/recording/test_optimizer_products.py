"""Optimizers that compute matrix products in their step: in no figure, and the record says so."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from profilers.steps.products.in_code import products_of  # noqa: E402
from tests.recording.conftest import TRAIN, Run, mlp, train  # noqa: E402


def orthogonalised(matrix: Any) -> Any:
    return 1.5 * matrix - 0.5 * matrix @ matrix.T @ matrix


class ByAFunction(torch.optim.SGD):  # type: ignore[misc]
    """Like Muon: the products are in a function beside the class."""

    def step(self, closure: Any = None) -> Any:
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.ndim == 2 and parameter.grad is not None:
                        parameter.grad = orthogonalised(parameter.grad)
        return super().step(closure)


class Projector:
    def __call__(self, gradient: Any) -> Any:
        return torch.linalg.svd(gradient, full_matrices=False)[0]


class ByAClass(torch.optim.SGD):  # type: ignore[misc]
    """Like GaLore: in a class that the step names."""

    def step(self, closure: Any = None) -> Any:
        self.projector = Projector()
        return super().step(closure)


class ByAMethod(torch.optim.SGD):  # type: ignore[misc]
    """Like Shampoo."""

    def root(self, matrix: Any) -> Any:
        return torch.linalg.eigh(matrix)

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


COMPILED = {"fast": torch.compile(orthogonalised, backend="eager")}


class ByATable(torch.optim.SGD):  # type: ignore[misc]
    """Compiled, in a dictionary of ways."""

    def step(self, closure: Any = None) -> Any:
        self.way = COMPILED["fast"]
        return super().step(closure)


class Plain(torch.optim.SGD):  # type: ignore[misc]
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.mul_(2.0)
        return super().step(closure)


@pytest.mark.parametrize(
    ("optimizer", "names"),
    [
        (ByAFunction, ("@",)),
        (ByAClass, ("svd",)),
        (ByAMethod, ("eigh",)),
        (ByATable, ("@",)),
        (Plain, ()),
    ],
)
def test_products_are_found_in_the_code(optimizer: Any, names: tuple[str, ...]) -> None:
    assert products_of(optimizer) == names


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "LBFGS"])
def test_those_of_torch_that_have_none_are_known(name: str) -> None:
    assert products_of(getattr(torch.optim, name)) == ()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="a later torch has it")
def test_those_of_torch_that_have_some_are_known() -> None:
    assert products_of(torch.optim.Muon) != ()


@pytest.mark.parametrize("optimizer", [ByAFunction, Plain])
def test_the_record_says_so_and_the_figure_is_forward_and_backward(
    run: Run, optimizer: Any
) -> None:
    model = mlp()
    with run.record():
        train(model, optimizer(model.parameters(), lr=1e-3), steps=3)
    assert run.flop == [TRAIN] * 3
    assert run.notes() == ({"optimizer-products"} if optimizer is ByAFunction else set())
    found = [finding.code for finding in run.totals.findings]
    assert ("optimizer-products" in found) == (optimizer is ByAFunction)


def _hooks(kind: str, name: str) -> Any:
    return getattr(
        importlib.import_module(f"torch.distributed.algorithms.ddp_comm_hooks.{kind}"), name
    )


def test_hooks_that_factorise_gradients_are_told_from_those_that_round_them() -> None:
    factorises = _hooks("powerSGD_hook", "powerSGD_hook")
    assert products_of(factorises) == ("bmm", "qr")
    assert products_of(_hooks("default_hooks", "fp16_compress_wrapper")(factorises)) != ()
    for name in ("allreduce_hook", "fp16_compress_hook", "bf16_compress_hook"):
        assert products_of(_hooks("default_hooks", name)) == ()


class Projects:
    """A hook that is an object."""

    def __call__(self, _state: Any, bucket: Any) -> Any:
        return bucket @ bucket.T


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        (_hooks("powerSGD_hook", "powerSGD_hook"), "powerSGD_hook"),
        (partial(_hooks("powerSGD_hook", "powerSGD_hook")), "powerSGD_hook"),
        (Projects(), "Projects"),
        (_hooks("default_hooks", "allreduce_hook"), None),
        (len, None),
    ],
)
def test_the_record_says_what_the_exchange_of_gradients_computes(
    run: Run, hook: Any, name: str | None
) -> None:
    model = mlp()
    model._comm_hooks = [(hook, None)]  # as DistributedDataParallel keeps them
    with run.record():
        train(model, torch.optim.SGD(model.parameters(), lr=1e-3), steps=3)
    assert run.flop == [TRAIN] * 3
    told = [note.message for note in run.process.notes if note.code == "exchange-products"]
    assert [text.partition(" ")[0] for text in told] == ([name] if name else [])


def test_a_model_that_is_left_over_says_nothing_of_this_training(run: Run) -> None:
    other = mlp()
    other._comm_hooks = [(Projects(), None)]
    model = mlp()
    with run.record():
        other(torch.randn(4, 8))
        train(model, torch.optim.SGD(model.parameters(), lr=1e-3), steps=3)
    assert "exchange-products" not in run.notes()
    assert len(list(other.parameters())) == 4  # it lives until here
