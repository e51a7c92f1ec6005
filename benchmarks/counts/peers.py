"""Other counters, each asked for a module's forward FLOP, and what they leave behind undone."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import io
import platform
import warnings

import torch
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

PEERS = ("fvcore", "deepspeed", "calflops", "ptflops", "thop", "torchinfo")


@functools.cache
def declare_torchvision():
    """Names of torchvision's own ops: its wheel may not fit a CPU build of torch.

    timm and ptflops import it and need only its Python part.
    """
    library = torch.library.Library("torchvision", "DEF")
    pools = ["roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d"]
    for name in ("nms", "qnms", *pools, *(f"_{name}_backward" for name in pools)):
        with contextlib.suppress(RuntimeError):  # the wheel fits
            library.define(f"{name}(Tensor x) -> Tensor")
    return library


def torch_counter(model, args):
    with FlopCounterMode(display=False) as counter:
        model(*args)
    return counter.get_total_flops()


def fvcore(model, args):
    module = importlib.import_module("fvcore.nn")
    analysis = module.FlopCountAnalysis(model, args)
    analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
    return 2 * int(analysis.total())


def deepspeed(model, args):
    module = importlib.import_module("deepspeed.profiling.flops_profiler")
    profiler = module.FlopsProfiler(model)
    profiler.start_profile()
    try:
        model(*args)
        return int(2 * profiler.get_total_macs())
    finally:
        profiler.end_profile()


def calflops(model, args):
    module = importlib.import_module("calflops")
    _, macs, _ = module.calculate_flops(
        model, args=list(args), print_results=False, output_as_string=False
    )
    return int(2 * macs)


class Spread(torch.nn.Module):
    """A model that takes its positional inputs as one, which is all that ptflops hands on."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, arguments):
        """Call the model as it is meant to be called."""
        return self.model(*arguments)


def ptflops(model, args):
    module = importlib.import_module("ptflops")
    if len(args) > 1:
        model, args = Spread(model), (list(args),)
    macs, _ = module.get_model_complexity_info(
        model,
        (1,),
        input_constructor=lambda _: args[0],
        as_strings=False,
        print_per_layer_stat=False,
        backend="aten",
        verbose=False,
    )
    return int(2 * macs)


def thop(model, args):
    macs, _ = importlib.import_module("thop").profile(model, inputs=args, verbose=False)
    return int(2 * macs)


def torchinfo(model, args):
    found = importlib.import_module("torchinfo").summary(model, input_data=list(args), verbose=0)
    return int(2 * found.total_mult_adds)


RUNNERS = {
    "torch": torch_counter,
    "fvcore": fvcore,
    "deepspeed": deepspeed,
    "calflops": calflops,
    "ptflops": ptflops,
    "thop": thop,
    "torchinfo": torchinfo,
}


class Wrapped(torch.nn.Module):
    """Peers want a module with a parameter; a function becomes one."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        # Some counters look a device up on the first parameter and raise where there is none.
        self.unused = torch.nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, *args):
        """Call the function."""
        return self.function(*args)


def has_parameters(model):
    """Whether a case is a module that peers can take as it is."""
    return isinstance(model, torch.nn.Module) and any(True for _ in model.parameters())


def quiet(function, *args):
    """The answer or the error, without what the callee prints or warns."""
    silence = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(silence):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(silence):
            try:
                return function(*args)
            except Exception as error:  # noqa: BLE001  (a peer may fail in any way)
                return f"{type(error).__name__}"


def versions():
    """Versions of everything that took part, and who is missing."""
    lines = [f"flopledger {importlib.import_module('flopledger').__version__}"]
    lines += [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    missing = []
    for name in (*PEERS, "transformers", "timm", "diffusers"):
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    said = f"; missing: {', '.join(missing)}" if missing else ""
    return f"{', '.join(lines)}{said}"


PATCHED = (torch, torch.nn.functional, torch.Tensor)
"""Where some counters put their own functions, and leave them when a model raises."""


@contextlib.contextmanager
def unpatched():
    """Whatever a counter leaves behind in torch is taken out again, so that none taints the next."""
    before = [{k: v for k, v in vars(place).items() if callable(v)} for place in PATCHED]
    try:
        yield
    finally:
        for place, functions in zip(PATCHED, before, strict=True):
            for name, function in functions.items():
                if vars(place).get(name) is not function:
                    setattr(place, name, function)


def full_step(model, args):
    """Forward and backward of torch's own counter."""
    with FlopCounterMode(display=False) as counter:
        out = model(*args)
        leaves = [
            leaf
            for leaf in pytree.tree_leaves(out)
            if isinstance(leaf, torch.Tensor) and leaf.requires_grad
        ]
        if leaves:
            torch.autograd.backward(leaves, [torch.ones_like(leaf) for leaf in leaves])
    return counter.get_total_flops()
