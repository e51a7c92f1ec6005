"""Counting what a user's own ``package.module:factory`` returns.

The factory is code that the user names on the command line; a case file cannot name one.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flopcount.errors import FlopcountError
from flopcount.findings import AskedSizes, Finding, sizes_asked
from flopcount.model_files.config_file import need_libraries
from flopcount.model_files.counted_model import CountedModel, checkpoint_layers
from flopcount.model_files.parameters import count_parameters


def count_factory(
    name: str,
    *,
    batch: int = 1,
    sequence: int | None = None,
    backward: bool = True,
    convention: str = "dense",
    recompute: bool = False,
) -> CountedModel:
    """Call ``package.module:factory`` and count one step of what it returns.

    The factory returns a module, or a pair of a module (or function) and its inputs: a tensor, a
    tuple of positional or a mapping of keyword inputs. It is called with ``batch`` and
    ``sequence`` if it takes them. It is called under the meta device, so nothing is allocated.

    Raises:
        FlopcountError: the name leads nowhere, the factory raises, or it returns something else.
    """
    need_libraries(name, "torch")
    factory = _find(name)
    model, given = _call(factory, name, batch=batch, sequence=sequence)
    is_module = hasattr(model, "parameters") and hasattr(model, "modules")
    parameters = count_parameters(model, _config_of(model)) if is_module else None
    if recompute:
        _checkpoint(model, name)
    findings: tuple[Finding, ...] = ()
    asked = AskedSizes(batch=batch, sequence=sequence)
    if given is not None:
        accepted = _accepted(factory)
        asked = sizes_asked(
            name,
            batch=batch,
            sequence=sequence,
            batch_read="batch" in accepted or _rows(*given) == {batch},
            length_read="sequence" in accepted,
        )
    count = None
    if given is None:
        given = _library_inputs(model, batch=batch, sequence=sequence)
    if given is None:
        findings = (
            Finding(
                code="input-size-unknown",
                severity="info",
                message=f"{name} returns a model without inputs; return (model, inputs) to count",
            ),
        )
    else:
        import flopcount

        args, kwargs = given
        count = flopcount.count(model, *args, backward=backward, convention=convention, **kwargs)
    return CountedModel(
        name=name,
        kind="factory",
        source=None,
        batch=asked.batch,
        sequence=asked.sequence,
        parameters=parameters,
        count=count,
        no_closed_form="a factory's model has no dimensions to read",
        findings=(*findings, *asked.findings),
    )


def _find(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    with _current_folder_importable():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            msg = (
                f"{name}: the module '{module_name}' cannot be imported\n"
                f"  {type(error).__name__}: {str(error)[:200]}"
            )
            raise FlopcountError(msg) from error
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
        if found is None:
            msg = f"{name}: '{module_name}' has no '{attribute}'\n  name a function of no arguments"
            raise FlopcountError(msg)
    if not callable(found):
        msg = f"{name}: a {type(found).__name__}, not a function that returns a model"
        raise FlopcountError(msg)
    return found


@contextlib.contextmanager
def _current_folder_importable() -> Any:
    folder = str(Path.cwd())
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        if added and folder in sys.path:
            sys.path.remove(folder)


def _rows(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> set[int]:
    """Return the first sizes of the inputs."""
    shapes: Iterator[Any] = (getattr(value, "shape", ()) for value in (*args, *kwargs.values()))
    return {int(shape[0]) for shape in shapes if len(shape)}


def _accepted(factory: Any) -> Mapping[str, Any]:
    """Return the factory's parameters by name; of code that is not Python's nobody can tell them."""
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}


def _call(factory: Any, name: str, *, batch: int, sequence: int | None) -> tuple[Any, Any]:
    import torch

    accepted = _accepted(factory)
    keywords: dict[str, Any] = {}
    if "batch" in accepted:
        keywords["batch"] = batch
    if "sequence" in accepted and sequence is not None:
        keywords["sequence"] = sequence
    try:
        with torch.device("meta"):
            made = factory(**keywords)
    except Exception as error:
        msg = (
            f"{name}: the factory raised\n  {type(error).__name__}: {str(error)[:200]}\n"
            "  it is called under torch.device('meta'), with batch and sequence if it takes them"
        )
        raise FlopcountError(msg) from error
    if isinstance(made, tuple) and len(made) in (2, 3) and callable(made[0]):
        return made[0], _arguments(made[1:], name)
    if callable(made):
        return made, None
    msg = (
        f"{name}: returned a {type(made).__name__}\n"
        "  expected a model, or (model, inputs), or (model, positional, keyword)"
    )
    raise FlopcountError(msg)


def _arguments(given: tuple[Any, ...], name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import torch

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for part in given:
        if isinstance(part, Mapping):
            kwargs.update(part)
        elif isinstance(part, tuple | list):
            args += tuple(part)
        elif isinstance(part, torch.Tensor):
            args += (part,)
        else:
            msg = (
                f"{name}: inputs of type {type(part).__name__}\n"
                "  expected a tensor, a tuple of inputs, or a mapping of keyword inputs"
            )
            raise FlopcountError(msg)
    return args, kwargs


def _config_of(model: Any) -> dict[str, Any]:
    describe = getattr(getattr(model, "config", None), "to_dict", None)
    return dict(describe()) if callable(describe) else {}


def _library_inputs(
    model: Any, *, batch: int, sequence: int | None
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """A transformers model tells its inputs itself; anything else must bring them."""
    if not hasattr(model, "main_input_name") or not hasattr(model, "config"):
        return None
    from flopcount.model_files.model_inputs import InputSizeUnknownError, inputs_of, maker_of

    try:
        name = type(model).__name__
        return (), inputs_of(maker_of(model, name, batch=batch, sequence=sequence))
    except InputSizeUnknownError:
        return None


def _checkpoint(model: Any, name: str) -> None:
    if not getattr(model, "supports_gradient_checkpointing", False):
        msg = (
            f"{name}: the model does not say how its layers are recomputed\n"
            "  wrap them in torch.utils.checkpoint yourself; recomputation is then counted"
        )
        raise FlopcountError(msg)
    checkpoint_layers(model)
