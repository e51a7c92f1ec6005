"""One model, counted by us and by the second counter on the same inputs."""

from __future__ import annotations

import copy
import functools
import gc
import importlib
import random
import re
import sys
import time

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

import flopcount
from benchmarks.second_counter import second_count
from flopcount.model_files.inputs.sizes import InputSizeUnknownError


def faked(model):
    """The model on fake tensors, to be called inside their mode; what is real in it stays real."""
    state = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            fresh = torch.empty(tensor.shape, dtype=tensor.dtype)
            state[name] = fresh.requires_grad_(tensor.requires_grad)
    return lambda *args, **kwargs: torch.func.functional_call(model, state, args, kwargs)


def forget_tensors():
    """Empty the caches in which models keep tensors of an earlier pass, on whatever device."""
    for found in gc.get_objects():
        if type(found) is functools._lru_cache_wrapper:  # isinstance would ask deprecated proxies
            place = getattr(found, "__module__", None) or ""
            if place.startswith(("transformers.models", "transformers.utils.generic")):
                found.cache_clear()


MOST_REAL_FLOP = 15 * 10**11
MOST_REAL_WEIGHTS = 15 * 10**8
MOST_TRAINED_WEIGHTS = 6 * 10**8
"""What a pass on real tensors may cost: half a minute of one core and 3 GB (5 with gradients)."""


def weights(model):
    """How many parameters a model has."""
    return sum(p.numel() for p in model.parameters())


def second_opinion(model, args, kwargs, cost=None):
    """The second counter's figures: on meta, on fake tensors, or on real ones where they are few."""

    def on(device, leaf):
        small = torch.is_tensor(leaf) and not leaf.is_meta and not leaf.is_floating_point()
        if not torch.is_tensor(leaf) or (small and device == "cpu"):
            return leaf
        return torch.empty_like(leaf, device=device)

    try:
        return second_count(model, *pytree.tree_map(lambda x: on("meta", x), (args, kwargs)))
    except Exception:  # noqa: BLE001, S110
        pass
    try:
        forget_tensors()
        with FakeTensorMode(allow_non_fake_inputs=True):
            return second_count(
                faked(model), *pytree.tree_map(lambda x: on("cpu", x), (args, kwargs))
            )
    except Exception:
        if cost is None or cost > MOST_REAL_FLOP or weights(model) > MOST_REAL_WEIGHTS:
            raise
    forget_tensors()
    state = {
        name: real(tensor.detach()).requires_grad_(tensor.requires_grad)
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }

    def called(*positional, **named):
        return torch.func.functional_call(model, state, positional, named)

    return second_count(called, *pytree.tree_map(real, (args, kwargs)))


def real(leaf, size=0.02):
    """A tensor without values, with some."""
    if not torch.is_tensor(leaf) or not leaf.is_meta:
        return leaf
    if not leaf.is_floating_point():
        return torch.zeros(leaf.shape, dtype=leaf.dtype)
    block = torch.randn(1 << 16).mul_(size).to(leaf.dtype)
    copies = -(-leaf.numel() // block.numel())
    return block.repeat(copies)[: leaf.numel()].reshape(leaf.shape)


class Seeded(torch.nn.Module):
    """A model that draws the same random numbers in every pass."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *args, **kwargs):
        """Run the model from the one random state."""
        random.seed(0)
        torch.manual_seed(0)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(0)
        return self.model(*args, **kwargs)


def with_weights(model):
    """A model of the same configuration with real weights, single precision, in training."""
    if not hasattr(type(model), "_from_config"):  # of diffusers
        return type(model).from_config(dict(model.config)).float().train()
    for attention in ("sdpa", "eager", None):
        chosen = {} if attention is None else {"attn_implementation": attention}
        try:
            config = copy.deepcopy(model.config)
            return type(model)._from_config(config, dtype=torch.float32, **chosen).train()
        except Exception:
            if attention is None:
                raise
    return None


def on_same_values(model, kwargs):
    """Both counts of one model with real weights on the same real inputs: (ours, second).

    For models whose work depends on values: on invented ones, two counters see two models.
    """
    torch.manual_seed(0)
    fresh = with_weights(model)

    def single(leaf):
        found = real(leaf, 1.0)
        floats = torch.is_tensor(found) and found.is_floating_point()
        return found.float() if floats else found

    inputs = pytree.tree_map(single, kwargs)
    seeded = Seeded(fresh)
    forget_tensors()
    count = flopcount.count(seeded, **inputs)
    forget_tensors()
    return count, second_count(seeded, (), inputs)


def counted(model, args, kwargs):
    """Our count, asked as ``flopledger count`` asks: another attention, layout or dtype if need be."""
    built = model.__dict__.get("_built_by_flopcount")
    if built is None:
        return flopcount.count(model, *args, **kwargs), model
    count = importlib.import_module("flopcount.model_files.counted_model")._traced(
        built, kwargs, backward=True, convention="dense"
    )
    return count, built.model


def twice(value):
    """Two samples instead of one."""
    if not torch.is_tensor(value) or value.dim() == 0 or value.shape[0] != 1:
        return value
    return torch.cat([value, value])


def reason(error, most=300):
    """The end of what an error says, without the folder of its configuration."""
    said = " ".join(re.sub(r"\S+/config\.json: ", "", str(error)).split())
    return f"{type(error).__name__}: {said[:most]}"


def examine(build, inputs):
    """One model, in fewer layers; whole where it does not run so (it names its layers by number)."""
    verdict = compare(build, inputs)
    if verdict[0].startswith((RAISES, "does not build")) and hasattr(build, "whole"):
        again = compare(build.whole, inputs)
        return again if again[0] == "exact" else verdict
    return verdict


RAISES = "raises on these inputs"


def compare(build, inputs):
    """One model: our count against the second counter's; a verdict and what to say."""
    gc.collect()  # models hold themselves in circles; the last one is gone before the next
    try:
        with torch.device("meta"):
            model = build()
    except Exception as error:  # noqa: BLE001
        return "does not build", reason(error)
    try:
        args, kwargs = inputs(model)
    except flopcount.FlopcountError as error:
        none = "no forward pass of its own"
        known = none if none in str(error) else "needs inputs that its config does not tell"
        return known, reason(error)
    built = model.__dict__.pop("_built_by_flopcount", None)
    if getattr(build, "real", False):
        try:
            return same(*on_same_values(model, kwargs))
        except Exception as error:  # noqa: BLE001
            return "no second opinion", reason(error)
    untouched = copy.deepcopy(model)  # some models keep a tensor of a pass in an attribute
    model.__dict__["_built_by_flopcount"] = built
    started = time.perf_counter()
    try:
        try:
            count, model = counted(model, args, kwargs)
        except flopcount.FlopcountError as error:
            if built is None or built.maker is None:
                raise
            sizes = built.maker.sizes
            if "give --batch 2" in str(error):
                sizes.batch = 2
                kwargs = {name: twice(value) for name, value in kwargs.items()}
            elif isinstance(error, InputSizeUnknownError):
                sizes.sequence = sizes.sequence or 64
                sizes.image, sizes.audio_frames = sizes.image or (224, 224), 1000
            else:
                raise
            count, model = counted(model, args, kwargs)
    except flopcount.FlopcountError as error:
        try:
            second_opinion(model, args, kwargs)
        except Exception:  # noqa: BLE001
            return f"{RAISES} by itself too", reason(error)
        return "not counted", reason(error)
    said = f"{count.method}, {time.perf_counter() - started:.2f} s"
    if count.uncounted:
        return "unknown op", ", ".join(item.op for item in count.uncounted)
    try:
        second = opinion(model, untouched, args, kwargs, count.forward)
    except Exception as error:  # noqa: BLE001
        second, failure = None, error
    if (count.forward, count.backward) == second:
        return "exact", said
    invented = any("random answers" in note or "invented" in note for note in count.notes)
    small = count.forward <= MOST_REAL_FLOP and weights(model) <= MOST_TRAINED_WEIGHTS
    if (second is None or invented) and built is not None and small:
        try:
            return same(*on_same_values(built.model, kwargs))
        except Exception as error:  # noqa: BLE001
            failure = error
    if second is None:
        return "no second opinion", reason(failure)
    if invented:
        return "differs, both invent values", f"{said}, {count.notes[-1]}"
    return "differs", f"{said}, ours {count.forward} {count.backward}, second {second}"


def same(count, second):
    """The verdict of two counts on the same weights and inputs."""
    said = f"{count.method} on the same weights and inputs"
    if count.uncounted:
        return "unknown op", ", ".join(item.op for item in count.uncounted)
    if (count.forward, count.backward) == second:
        return "exact", said
    return "differs", f"{said}, ours {count.forward} {count.backward}, second {second}"


def opinion(model, untouched, args, kwargs, cost):
    """The second counter's figures; of the model as it was where a pass left something in it."""
    try:
        return second_opinion(model, args, kwargs, cost)
    except Exception:  # noqa: BLE001
        return second_opinion(untouched, args, kwargs, cost)
