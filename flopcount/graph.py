"""Counting a ``.pt2`` export: its graph is run on meta tensors, operator by operator.

Only torch's own operators are run, looked up by name in ``torch.ops``; nothing in the file is
unpickled, imported or evaluated. Parameters become empty meta tensors that require a gradient where
the file says so, so the backward is the real one.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError
from flopcount.export_file import (
    DTYPES,
    ExportedGraph,
    ExportError,
    GraphInput,
    read_export,
    unknown_form,
)
from flopcount.export_ops import function_of
from flopcount.findings import AskedSizes, Finding, name_mismatch, sizes_asked
from flopcount.model_files.config_file import ConfigError, need_libraries
from flopcount.model_files.counted_model import CountedModel
from flopcount.model_files.parameters import ParameterCount

if TYPE_CHECKING:
    from pathlib import Path

_SKIPPED = ("_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "_assert_async",
            "sym_constrain_range_for_size")  # fmt: skip
_PLACE = re.compile(r"L__self__[^,]*,([^,]*),")


def count_export(
    path: Path,
    *,
    batch: int = 1,
    sequence: int | None = None,
    backward: bool = True,
    convention: str = "dense",
    recompute: bool = False,
) -> CountedModel:
    """Count one step of an exported program.

    Args:
        path: the ``.pt2`` file.
        batch: fills the free first size of the inputs.
        sequence: fills the other free size, where there is one.
        backward: whether the gradients are part of the step.
        convention: as in :func:`flopcount.count`.
        recompute: refused; a graph does not say which activations are kept.

    Raises:
        FlopcountError: the file is corrupt, or holds operators that cannot be run on meta.
    """
    import flopcount

    if recompute:
        msg = f"{path}: a graph does not say which layers are recomputed\n  leave recompute out"
        raise ConfigError(msg)
    need_libraries(path, "torch")
    graph = read_export(path)
    parameters = _parameters(graph)
    findings = [f for f in [name_mismatch([path.stem], parameters.total)] if f is not None]
    free = _free_sizes(graph, batch=batch, sequence=sequence)
    asked = AskedSizes(batch=batch, sequence=sequence)
    count = None
    if free is None:
        findings.append(
            Finding(
                code="input-size-unknown",
                severity="info",
                message=f"{path}: its inputs have a free size besides the batch; give --sequence",
            )
        )
    else:
        try:
            program = _runnable(graph, free)
        except (
            KeyError,
            TypeError,
            AttributeError,
            ValueError,
            RuntimeError,
            OverflowError,
        ) as error:
            raise unknown_form(path, error) from None
        lengths = _lengths(graph)
        asked = sizes_asked(
            path.name,
            batch=batch,
            sequence=sequence,
            batch_read=any(symbol not in lengths for symbol in free) or _rows(graph) == {batch},
            length_read=bool(lengths),
        )
        count = flopcount.count(program, backward=backward, convention=convention)
    return CountedModel(
        name=path.name,
        kind="pt2",
        source=path,
        batch=asked.batch,
        sequence=asked.sequence,
        parameters=parameters,
        count=count,
        no_closed_form="a graph has no dimensions to read",
        findings=(*findings, *asked.findings),
    )


def _parameters(graph: ExportedGraph) -> ParameterCount:
    total = trainable = 0
    for item in graph.inputs:
        if item.kind == "parameter" and item.meta is not None:
            numbers = 1
            for size in item.meta.sizes:
                numbers *= int(size)
            total += numbers
            trainable += numbers if item.meta.requires_grad else 0
    return ParameterCount(
        total=total,
        trainable=trainable,
        active=None,
        total_without_embeddings=None,
        active_without_embeddings=None,
    )


def _free_sizes(graph: ExportedGraph, *, batch: int, sequence: int | None) -> dict[str, int] | None:
    """Fill the symbols of the user's inputs; None where a second one stays free."""
    axes, lengths = _axes(graph), _lengths(graph)
    if lengths and sequence is None:
        return None
    return {symbol: (sequence or batch) if symbol in lengths else batch for symbol in axes}


def _axes(graph: ExportedGraph) -> dict[str, set[int]]:
    """Each free size's symbol, and the places at which it stands in the inputs."""
    axes: dict[str, set[int]] = {}
    for item in graph.inputs:
        for axis, size in enumerate(item.meta.sizes if item.meta else ()):
            if isinstance(size, str):
                axes.setdefault(size, set()).add(axis)
    return axes


def _rows(graph: ExportedGraph) -> set[int | str]:
    """Return the first sizes of the user's inputs."""
    metas = [item.meta for item in graph.inputs if item.kind == "user_input"]
    return {meta.sizes[0] for meta in metas if meta and meta.sizes}


def _lengths(graph: ExportedGraph) -> set[str]:
    """Return the symbols of lengths: the batch stands first wherever it stands, and they also elsewhere."""
    return {symbol for symbol, places in _axes(graph).items() if places != {0}}


def _runnable(graph: ExportedGraph, free: dict[str, int]) -> Any:
    """Return a module that runs the graph; its submodules are the exported model's places."""
    import torch

    class Place(torch.nn.Module):  # type: ignore[misc]
        """A place in the exported model; runs one operator there."""

        def forward(self, run: Any) -> Any:
            return run()

    class Program(torch.nn.Module):  # type: ignore[misc]
        """The exported program on meta."""

        def __init__(self) -> None:
            super().__init__()
            # Under a name that no module of the exported model bears: its places are added beside it.
            self._of_the_file = [_value(item, free, graph) for item in graph.inputs]

        def forward(self) -> Any:
            known = {
                item.name: value
                for item, value in zip(graph.inputs, self._of_the_file, strict=True)
            }
            for node in graph.nodes:
                place = _place(node)
                target = self.get_submodule(place) if place else None
                _run(node, known, target, graph)
            return [_argument(out, known, graph) for out in graph.outputs]

    program = Program()
    for place in {_place(node) for node in graph.nodes} - {""}:
        here: Any = program
        for part in place.split("."):
            if part not in here._modules:
                here.add_module(part, Place())
            here = here._modules[part]
    return program


def _place(node: dict[str, Any]) -> str:
    """Path of the module in which the operator stood; empty for the model itself."""
    stack = (node.get("metadata") or {}).get("nn_module_stack", "")
    places = _PLACE.findall(stack) if isinstance(stack, str) else []
    path = places[-1] if places else ""
    # The path is only a label here; whatever no module can be called is left out.
    parts = [part for part in path.split(".") if re.fullmatch(r"\w{1,100}", part)]
    parts = [part for part in parts if part not in _taken()]
    return ".".join(parts if len(parts) <= 60 else parts[:60])


@cache
def _taken() -> frozenset[str]:
    """Names that every module has for something of its own."""
    import torch

    return frozenset(dir(torch.nn.Module()))


def _value(item: GraphInput, free: dict[str, int], graph: ExportedGraph) -> Any:
    import torch

    if item.meta is None:
        return _argument(item.value, {}, graph) if isinstance(item.value, dict) else item.value
    sizes = [free[size] if isinstance(size, str) else size for size in item.meta.sizes]
    dtype = getattr(torch, item.meta.dtype)
    tensor = torch.empty(sizes, dtype=dtype, device="meta")
    return tensor.requires_grad_(item.kind == "parameter" and item.meta.requires_grad)


def _run(node: dict[str, Any], known: dict[str, Any], place: Any, graph: ExportedGraph) -> None:
    target = str(node.get("target"))
    if any(part in target for part in _SKIPPED):
        return
    function = function_of(target, graph.path)
    args, kwargs = [], {}
    for item in node["inputs"]:
        value = _argument(item["arg"], known, graph)
        if item.get("kind", 1) == 2:
            kwargs[item["name"]] = value
        else:
            args.append(value)

    def run() -> Any:
        return function(*args, **kwargs)

    try:
        result = run() if place is None else place(run)
    except FlopcountError:
        raise
    except Exception as error:
        msg = (
            f"{graph.path}: the operator {target} (node {str(node.get('name'))[:60]}) cannot run "
            f"on meta\n  {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        )
        raise ExportError(msg) from error
    _store(node["outputs"], result, known)


def _store(outputs: list[dict[str, Any]], result: Any, known: dict[str, Any]) -> None:
    results = result if isinstance(result, tuple | list) else (result,)
    if len(outputs) == 1:
        ((kind, body),) = outputs[0].items()
        if kind == "as_tensors":
            for item, value in zip(body, results, strict=False):
                known[item["name"]] = value
            return
        single = result if not isinstance(result, tuple | list) else results[0]
        _name(body, single, known)
        return
    for output, value in zip(outputs, results, strict=False):
        ((_, body),) = output.items()
        _name(body, value, known)


def _name(body: Any, value: Any, known: dict[str, Any]) -> None:
    if isinstance(body, dict):
        name = body.get("name") or body.get("as_name")
        if name is not None:
            known[str(name)] = value


_PLAIN = {"as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string",
          "as_strings", "as_int_lists", "as_float_lists"}  # fmt: skip


def _argument(argument: Any, known: dict[str, Any], graph: ExportedGraph) -> Any:
    import torch

    ((kind, body),) = argument.items()
    if kind in _PLAIN:
        return _floats(body)
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return known[body["name"]]
    if kind == "as_tensors":
        return [known[item["name"]] for item in body]
    if kind in ("as_optional_tensor", "as_optional_tensors", "as_nested_tensors"):
        if isinstance(body, list):
            return [_argument(item, known, graph) for item in body]
        return _argument(body, known, graph)
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        return _symbol(body, known)
    if kind in ("as_sym_ints", "as_sym_bools", "as_sym_floats"):
        return [_symbol(item, known) for item in body]
    if kind == "as_scalar_type":
        return getattr(torch, DTYPES[body])
    if kind == "as_memory_format":
        return [None, torch.contiguous_format, torch.channels_last, torch.channels_last_3d,
                torch.preserve_format][body]  # fmt: skip
    if kind == "as_layout":
        return torch.strided
    if kind == "as_device":
        return torch.device("meta")
    if kind == "as_complex":
        return complex(_floats(body["real"]), _floats(body["imag"]))
    msg = f"{graph.path}: the graph has an argument of the kind '{kind[:40]}' (control flow?)"
    raise ExportError(msg)


def _floats(value: Any) -> Any:
    """Infinities and not-a-number are written as text."""
    if isinstance(value, str) and value in ("Infinity", "-Infinity", "NaN"):
        return float(value)
    return value


def _symbol(body: dict[str, Any], known: dict[str, Any]) -> Any:
    ((kind, value),) = body.items()
    return known[value] if kind == "as_name" else value
