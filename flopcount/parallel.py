"""Models that are spread over ranks: one global count, and what this rank computes of it.

Sharded tensors (``DTensor``) are seen twice. Above, an op has the shapes of the whole model: that
is the global count. Below, the same op runs on this rank's shards: that is the local count. Work
that ranks repeat on the same data makes ``ranks × local`` exceed the global figure, and the excess
is stated. Fully sharded data parallelism only stores parameters in pieces and computes whole, on
each rank's own batch: it is looked through, and its count is the plain model's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch


def dtensor_type() -> Any:
    """The class of sharded tensors if anybody imported it, else None."""
    module = sys.modules.get("torch.distributed.tensor")
    return getattr(module, "DTensor", None)


def is_sharded(value: Any) -> bool:
    """Whether a tensor is spread over a mesh."""
    kind = dtensor_type()
    return kind is not None and isinstance(value, kind)


def unwrap(model: Any) -> Any:
    """The model inside data-parallel wrappers, which compute nothing of their own, or an export."""
    export = getattr(sys.modules.get("torch.export"), "ExportedProgram", None)
    if export is not None and isinstance(model, export):
        return model.module()
    wrappers = (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)
    while isinstance(model, wrappers):
        model = model.module
    return model


def fully_sharded_meshes(modules: Any) -> list[Any]:
    """Meshes over which fully sharded modules store their parameters."""
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    meshes: list[Any] = []
    for module in modules:
        if kind is not None and isinstance(module, kind):
            state = module._get_fsdp_state()
            groups = getattr(state, "_fsdp_param_groups", None) or [state._fsdp_param_group]
            meshes += [group.mesh_info.mesh for group in groups if group is not None]
    return meshes


def summed_over(model: Any) -> set[frozenset[int]]:
    """Groups of ranks over which wrappers in a model sum gradients: each rank has data of its own."""
    parts = list(model.modules())
    found = {frozenset(mesh.mesh.flatten().tolist()) for mesh in fully_sharded_meshes(parts)}
    for part in parts:
        if type(part).__name__ in ("DistributedDataParallel", "FullyShardedDataParallel"):
            group = vars(part).get("process_group")
            if group is not None:
                found.add(frozenset(torch.distributed.get_process_group_ranks(group)))
    return found


def cut_over(model: Any) -> set[frozenset[int]]:
    """Groups of this rank's over which parameters are cut in pieces, other than to be stored."""
    stored = {
        name for mesh in fully_sharded_meshes(model.modules()) for name in mesh.mesh_dim_names or ()
    }
    found: set[frozenset[int]] = set()
    for parameter in filter(is_sharded, model.parameters()):
        mesh = parameter.device_mesh
        here = mesh.get_coordinate()
        names = mesh.mesh_dim_names or (None,) * mesh.ndim
        for dim, placement in enumerate(parameter.placements):
            if here is not None and names[dim] not in stored and not placement.is_replicate():
                line = tuple(slice(None) if at == dim else place for at, place in enumerate(here))
                found.add(frozenset(mesh.mesh[line].tolist()))
    return {group for group in found if len(group) > 1}


def drop_hooks(state: dict[str, Any]) -> None:
    """Remove, from a doubled module's own dictionary, the hooks that gather and scatter shards."""
    for table in ("_forward_hooks", "_forward_pre_hooks"):
        hooks = state[table]
        for key in [key for key, hook in hooks.items() if _gathers(hook)]:
            del hooks[key]


def _gathers(hook: Any) -> bool:
    owner = getattr(hook, "__self__", None)
    names = (getattr(hook, "__module__", ""), type(owner).__module__)
    return any(str(name).startswith("torch.distributed.fsdp") for name in names)


def spread_over(parameter: Any) -> frozenset[str] | None:
    """Names of the dimensions of the mesh over which a parameter is spread; None where it is not."""
    if not is_sharded(parameter):
        return None
    return frozenset(map(str, parameter.device_mesh.mesh_dim_names or ()))


def gathered_since(
    parameters: Iterable[Any], before: Iterable[frozenset[str] | None]
) -> dict[int, frozenset[str]]:
    """Of parameters that were spread over less when they were used: over what, by their ids.

    A part of a fully sharded model that is called by itself has nothing that says who gathers them.
    """
    each = zip(parameters, before, strict=False)
    return {
        id(one): earlier or frozenset()
        for one, earlier in each
        if is_sharded(one) and earlier != spread_over(one)
    }


def gathered(value: Any, meshes: list[Any], over: frozenset[str] | None = None) -> Any:
    """A parameter as the computation sees it: whole over the sharding meshes, still on meta.

    Args:
        value: The parameter.
        meshes: Those over which fully sharded modules store their parameters.
        over: What it was spread over when it was used, where that is known.

    """
    mesh = value.device_mesh
    names = {name for item in meshes for name in (item.mesh_dim_names or ())}
    if over is not None:
        names = {name for name in mesh.mesh_dim_names or () if name not in over}
        meshes = [] if over else [mesh]
    kept = [
        (name, placement)
        for name, placement in zip(mesh.mesh_dim_names or (), value.placements, strict=False)
        if name not in names
    ]
    if not kept or mesh in meshes:
        return torch.empty(value.shape, dtype=value.dtype, device="meta")
    inner = mesh[tuple(name for name, _ in kept)]
    placements = [placement for _, placement in kept]
    kind = dtensor_type()
    local = list(value.shape)
    for placement, size in zip(placements, inner.shape, strict=True):
        if placement.is_shard():
            local[placement.dim] //= size
    piece = torch.empty(local, dtype=value.dtype, device="meta")
    return kind.from_local(
        piece, inner, placements, run_check=False, shape=value.shape, stride=value.stride()
    )


def put_together(value: Any, whole: Any = None) -> Any:
    """What a tensor holds; of a parameter that is kept in pieces, something of the whole's shape.

    Args:
        value: The tensor.
        whole: The whole's shape, where it is known; DeepSpeed writes it on its parameters.

    """
    shape = getattr(value, "ds_shape", None) if whole is None else whole
    if shape is None or tuple(shape) == tuple(value.shape):
        return value.data
    return torch.empty(tuple(shape), dtype=value.dtype, device="meta")
