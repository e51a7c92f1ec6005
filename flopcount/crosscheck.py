"""Second opinions on a count: torch's own counter, fvcore, and the closed form.

Each differs from ours for reasons that are known; a disagreement is taken apart into named causes
whose FLOP add up to it. What stays over is called ``unexplained``, never dropped.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flopcount.errors import FlopcountError

if TYPE_CHECKING:
    from flopcount.count import FlopCount
    from flopcount.model_files.counted_model import CountedModel

_NORMS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "upsample_nearest2d",
          "upsample_bilinear2d", "adaptive_avg_pool2d", "grid_sampler"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What another counter says about the same forward pass."""

    counter: str
    """``torch``, ``fvcore`` or ``closed-form``."""
    forward: int | None
    """FLOP of the forward pass, multiply-adds doubled; None where it failed."""
    ratio: float | None
    """Theirs / ours."""
    explained: tuple[dict[str, Any], ...]
    """``{"cause", "flop", "text"}``: theirs less ours, cause by cause; sums to the difference."""


STEP_ONLY = ("backward", "recompute", "remembered")
"""What a count is told besides the sizes of its inputs."""


def opinions_on(source: str, counted: CountedModel, **step: Any) -> list[Opinion]:
    """Ask every counter that can look at this model.

    Args:
        source: what was counted, as in :func:`flopcount.model_files.sources.count_source`.
        counted: our count of it.
        **step: batch, sequence and the other sizes it was counted with.

    Raises:
        FlopcountError: there is no count to compare with.
    """
    if counted.count is None:
        msg = "the input size is unknown, so there is nothing to cross-check\n  give --sequence"
        raise FlopcountError(msg)
    opinions = [closed_form_opinion(counted)]
    if counted.kind in ("transformers", "diffusers"):
        from flopcount.causal_attention import without_masks
        from flopcount.model_files.architectures import load, quiet_and_offline

        sizes = {k: v for k, v in step.items() if k not in STEP_ONLY}
        built = load(source)
        inputs = built.inputs(**sizes)
        without_masks(built.model)
        with quiet_and_offline():
            opinions.append(torch_opinion(built.model, inputs, counted.count))
            opinions.append(fvcore_opinion(built.model, inputs, counted.count))
    return opinions


def closed_form_opinion(counted: CountedModel) -> Opinion:
    """Compare with the formula, which shares no code with the trace."""
    assert counted.count is not None
    form = counted.closed_form
    if form is None:
        reason = counted.no_closed_form or "no closed form"
        return _failed("closed-form", "no-closed-form", reason)
    causes = []
    difference = form.forward - counted.count.forward
    missing = sum(
        term.forward for term in form.terms if term.name.startswith(("experts.", "router"))
    )
    if difference and difference == missing:
        causes.append(_cause("experts-not-traced", missing, "the trace met no experts"))
    return _opinion("closed-form", form.forward, counted.count, causes)


def torch_opinion(model: Any, inputs: dict[str, Any], ours: FlopCount) -> Opinion:
    """Run torch's FlopCounterMode over the same forward pass, and compare operator by operator."""
    import torch

    from flopcount.torch_counter import torch_counter

    try:
        with torch.no_grad(), torch_counter().FlopCounterMode(display=False) as counter:
            model(**inputs)
    except Exception as error:  # noqa: BLE001 - the other counter may fail in any way
        return _failed("torch", "counter-failed", f"{type(error).__name__}: {str(error)[:150]}")
    theirs = {
        str(op).removeprefix("aten."): int(flop)
        for op, flop in counter.get_flop_counts().get("Global", {}).items()
    }
    mine, causes = _forward_by_op(ours), _idle_experts(ours)
    for op in sorted(set(theirs) | set(mine)):
        difference = theirs.get(op, 0) - mine.get(op, 0)
        if difference and op not in theirs:
            text = f"torch has no formula for {op}, which it counts as 0 without saying so"
            causes.append(_cause("no-formula", difference, text))
        elif difference:
            causes.append(_cause("other-formula", difference, f"torch's formula for {op} differs"))
    return _opinion("torch", counter.get_total_flops(), ours, causes)


def fvcore_opinion(model: Any, inputs: dict[str, Any], ours: FlopCount) -> Opinion:
    """Run fvcore over the same forward pass; it counts multiply-adds, which are doubled here."""
    try:
        from fvcore.nn import FlopCountAnalysis
    except ImportError:
        return _failed("fvcore", "not-installed", "pip install 'flopledger[trace]'")
    logger = logging.getLogger("fvcore")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapped, tensors = _positional(model, inputs)
            analysis = FlopCountAnalysis(wrapped, tensors)
            analysis.unsupported_ops_warnings(False)  # noqa: FBT003 - fvcore's own signature
            analysis.uncalled_modules_warnings(False)  # noqa: FBT003
            analysis.tracer_warnings("none")
            by_operator = {op: 2 * int(n) for op, n in analysis.by_operator().items()}
            unsupported = dict(analysis.unsupported_ops())
    except Exception as error:  # noqa: BLE001 - the other counter may fail in any way
        return _failed("fvcore", "counter-failed", f"{type(error).__name__}: {str(error)[:150]}")
    finally:
        logger.setLevel(level)
    causes = _idle_experts(ours)
    for op in sorted(_NORMS & set(by_operator)):
        text = f"fvcore adds elementwise work ({op}) to its total"
        causes.append(_cause("elementwise-counted", by_operator[op], text))
    if any("scaled_dot_product_attention" in op for op in unsupported):
        scores = sum(e.attention for e in ours.entries if e.phase == "forward")
        causes.append(_cause("attention-not-counted", -scores, "fvcore skips fused attention"))
    grouped = sum(f for op, f in _forward_by_op(ours).items() if "grouped_mm" in op)
    if grouped and any("grouped_mm" in op for op in unsupported):
        causes.append(_cause("experts-not-counted", -grouped, "fvcore skips grouped products"))
    return _opinion("fvcore", sum(by_operator.values()), ours, causes)


def _positional(model: Any, inputs: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """Wrap the model so that a tracer which knows tensors in order can call it."""
    import torch

    names = [name for name, value in inputs.items() if isinstance(value, torch.Tensor)]
    fixed = {name: value for name, value in inputs.items() if name not in names}

    class Wrapped(torch.nn.Module):  # type: ignore[misc]
        """Takes tensors in order, gives the first tensor of the output."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, *tensors: Any) -> Any:
            out = self.inner(**dict(zip(names, tensors, strict=True)), **fixed)
            leaves = torch.utils._pytree.tree_leaves(out)
            return next(leaf for leaf in leaves if isinstance(leaf, torch.Tensor))

    return Wrapped(), tuple(inputs[name] for name in names)


def _idle_experts(ours: FlopCount) -> list[dict[str, Any]]:
    """Name what the class executes for tokens that no router sends to an expert."""
    idle = sum(entry.idle for entry in ours.entries if entry.phase == "forward")
    text = "the class sends every token through every expert, which a router does not"
    return [_cause("idle-experts", idle, text)] if idle else []


def _forward_by_op(ours: FlopCount) -> dict[str, int]:
    """Sum what the forward pass executes, by operator."""
    sums: dict[str, int] = {}
    for entry in ours.entries:
        if entry.phase == "forward":
            op = entry.op.removeprefix("aten.")
            sums[op] = sums.get(op, 0) + entry.flop + entry.idle
    return sums


def _cause(cause: str, flop: int, text: str) -> dict[str, Any]:
    return {"cause": cause, "flop": flop, "text": text}


def _opinion(counter: str, forward: int, ours: FlopCount, causes: list[dict[str, Any]]) -> Opinion:
    rest = forward - ours.forward - sum(cause["flop"] for cause in causes)
    if rest:
        causes = [*causes, _cause("unexplained", rest, "no known cause; please report it")]
    return Opinion(
        counter=counter,
        forward=forward,
        ratio=forward / ours.forward if ours.forward else None,
        explained=tuple(causes),
    )


def _failed(counter: str, cause: str, text: str) -> Opinion:
    return Opinion(counter=counter, forward=None, ratio=None, explained=(_cause(cause, 0, text),))
