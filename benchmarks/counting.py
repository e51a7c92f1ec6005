"""How exact, how complete and how fast flopcount is, beside other counters, in one run.

    python benchmarks/counting.py cases                  # every case of counting_cases.py
    python benchmarks/counting.py coverage transformers  # or: auto, timm, diffusers
    python benchmarks/counting.py speed                  # Llama-3.1-405B, DeepSeek-V3

Peers run where they can be imported; a peer that cannot is named. Each part writes its section to
``benchmarks/results/counting-<part>.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import flopcount  # noqa: E402
from benchmarks.counting_cases import CASES  # noqa: E402
from benchmarks.second_counter import second_count  # noqa: E402
from flopcount.inputs.sizes import InputSizeUnknownError  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PEERS = ("fvcore", "deepspeed", "calflops", "ptflops", "thop", "torchinfo")


# ------------------------------------------------------------------ peers: forward FLOP of a module
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


def write(part, body):
    """One section of results with its date, machine, command and versions."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    head = (
        f"## Counting: {part}\n\n{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, "
        f"{os.cpu_count()} cores. `python benchmarks/counting.py {' '.join(sys.argv[1:])}`\n\n"
        f"{versions()}\n\n"
    )
    (RESULTS / f"counting-{part}.md").write_text(head + body + "\n", encoding="utf-8")
    print(body)


# ------------------------------------------------------------------ plot
COLOURS = {"exact": "#2a7f62", "wrong": "#d9903d", "raised": "#b8b8b8"}


def plot(part, title, rows, whole):
    """Horizontal bars, one counter a line: exact, wrong, raised. Plain SVG, no script in it."""
    left, width, line = 190, 520, 26
    height = 70 + line * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" '
        f'font-family="sans-serif" font-size="13" role="img" aria-label="{title}">',
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="22">{title}</text>',
    ]
    for index, (name, numbers) in enumerate(rows):
        y, x = 40 + index * line, left
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{name}</text>')
        for kind, colour in COLOURS.items():
            length = width * numbers[kind] / whole
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="18" fill="{colour}"/>'
            )
            x += length
        parts.append(f'<text x="{left + width + 6}" y="{y + 14}">{numbers["exact"]}</text>')
    x = left
    for kind, colour in COLOURS.items():
        parts.append(f'<rect x="{x}" y="{height - 22}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{height - 11}">{kind}</text>')
        x += 90
    (RESULTS / f"counting-{part}.svg").write_text(
        "\n".join([*parts, "</svg>", ""]), encoding="utf-8"
    )


# ------------------------------------------------------------------ cases
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


def run_cases(_options):
    """Each case: ours and torch's forward and backward, the peers' forward."""
    rows, exact, raised = [], Counter(), Counter()
    names = ["ours", "torch, forward and backward", *RUNNERS]
    for case in CASES:
        truth = case.forward + case.backward
        model, args = case.make()
        ours = quiet(lambda m, a, o: flopcount.count(m, *a, **o), model, args, case.options)
        right = not isinstance(ours, str) and (ours.forward, ours.backward) == (
            case.forward,
            case.backward,
        )
        marks = ["exact" if right else str(ours)]
        model, args = case.make()
        theirs = quiet(full_step, model, args)
        whole = truth + case.recompute
        marks.append(ratio(theirs, whole))
        for runner in RUNNERS.values():
            model, args = case.make()
            module = model if has_parameters(model) else Wrapped(model)
            with unpatched():
                marks.append(ratio(quiet(runner, module, args), case.forward))
        exact.update(name for name, mark in zip(names, marks, strict=True) if mark == "exact")
        raised.update(n for n, mark in zip(names, marks, strict=True) if mark.isidentifier())
        rows.append(f"| {case.name} | {case.forward:,} | {case.backward:,} | {' | '.join(marks)} |")
    table = [
        f"| case | forward | backward | {' | '.join(names)} |",
        "|---" * (len(names) + 3) + "|",
    ]
    best = ", ".join(f"{name} {exact[name]}" for name in names)
    raised.subtract(exact)
    raised = Counter({name: number for name, number in raised.items() if number > 0})
    failed = ", ".join(f"{name} {number}" for name, number in raised.items())
    bars = [
        (n, {"exact": exact[n], "raised": raised[n], "wrong": len(CASES) - exact[n] - raised[n]})
        for n in names
    ]
    plot("cases", f"Exact of {len(CASES)} derived cases, forward FLOP", bars, len(CASES))
    write(
        "cases",
        f"Exact of {len(CASES)}: {best}. Peers are asked for the forward only and MACs are "
        f"doubled.\n\nRaised (so neither right nor wrong; a missing import counts here): {failed}."
        "\n\n" + "\n".join(table + rows),
    )


def ratio(found, truth):
    """``exact``, the ratio, or the error's name."""
    if isinstance(found, str):
        return found
    if found == truth:
        return "exact"
    return f"{found / truth:.3g}" if truth else f"{found} for 0"


# ------------------------------------------------------------------ coverage
def transformers_models(sequence=64):
    """Yield every causal language model and encoder of transformers with its default config."""
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    classes = importlib.import_module("transformers")
    configs = importlib.import_module("transformers.models.auto.configuration_auto")
    for name in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:

        def build(name=name):
            config = configs.CONFIG_MAPPING[name]()
            return classes.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).train()

        def inputs(_model):
            return (torch.zeros(1, sequence, dtype=torch.long),), {"use_cache": False}

        yield name, build, inputs


DEPTHS = [
    "num_hidden_layers",
    "num_layers",
    "n_layer",
    "n_layers",
    "encoder_layers",
    "decoder_layers",
    "num_decoder_layers",
    "num_encoder_layers",
    "depth",
]


def shallow(config, layers):
    """The same configuration with at most so many layers: depth repeats, it adds no new op."""
    before = next((config[name] for name in DEPTHS if isinstance(config.get(name), int)), None)
    result = {}
    for key, value in config.items():
        if isinstance(value, dict):
            result[key] = shallow(value, layers)
        elif key in DEPTHS and isinstance(value, int):
            result[key] = min(value, layers)
        elif isinstance(value, list) and len(value) == before:
            result[key] = value[:layers]
        else:
            result[key] = value
    return result


# What default configurations leave open or set at odds with each other, as published ones state it.
STATED = {
    "deepseek_v2": {"num_experts_per_tok": 6, "n_group": 8, "topk_group": 3},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "blip-2": {"image_token_index": 50265},
    "instructblip": {"image_token_index": 50265},
    "instructblipvideo": {"image_token_index": 50265, "video_token_index": 50265},
    "informer": {"prediction_length": 24},
    "autoformer": {"prediction_length": 24},
    "time_series_transformer": {"prediction_length": 24},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 8, "moe_topk": 2},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 2},
    "lfm2_moe": {"layer_types": ["full_attention"] * 4, "num_hidden_layers": 4},
    "ministral": {"head_dim": 128},
    "xmod": {"default_language": "en_XX"},
}


def auto_config(name, layers):
    """Write a family's configuration as its published files are: defaults and the class's name."""
    transformers = importlib.import_module("transformers")
    configs = importlib.import_module("transformers.models.auto.configuration_auto")
    parsed = configs.CONFIG_MAPPING[name]()
    written = parsed.to_dict() | STATED.get(name, {})
    if not written.get("architectures"):
        for table in AUTO_HEADS:
            found = getattr(transformers, table, {})
            if type(parsed) in found:
                cls = found[type(parsed)]
                cls = cls[0] if isinstance(cls, tuple) else cls
                written["architectures"] = [cls.__name__]
                break
    return shallow(written, layers) if layers else written


AUTO_HEADS = (
    "MODEL_FOR_CAUSAL_LM_MAPPING",
    "MODEL_FOR_MASKED_LM_MAPPING",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING",
    "MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING",
    "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING",
    "MODEL_FOR_CTC_MAPPING",
    "MODEL_FOR_OBJECT_DETECTION_MAPPING",
    "MODEL_FOR_DEPTH_ESTIMATION_MAPPING",
    "MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING",
    "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING",
    "MODEL_FOR_KEYPOINT_DETECTION_MAPPING",
    "MODEL_FOR_TIME_SERIES_PREDICTION_MAPPING",
    "MODEL_MAPPING",
)


def auto_models(sequence=64, layers=4):
    """Yield every family of transformers under its usual head, as a config.json would build it."""
    from flopcount.architectures import load

    configs = importlib.import_module("transformers.models.auto.configuration_auto")
    for name in configs.CONFIG_MAPPING_NAMES:
        made = {}

        def build(name=name, made=made):
            failure = None
            for depth in (layers, None):
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "config.json"
                    path.write_text(json.dumps(auto_config(name, depth), default=str))
                    try:
                        built = made["built"] = load(path)
                        built.model.__dict__["_built_by_flopcount"] = built
                        return built.model
                    except flopcount.FlopcountError as error:
                        failure = failure or error
            raise failure

        def inputs(_model=None, made=made):
            built = made["built"]
            pair = {"decoder_sequence": 16} if built.config.get("is_encoder_decoder") else {}
            positions = built.config.get("max_position_embeddings")
            length = min(sequence, positions if isinstance(positions, int) else sequence)
            if built.model.main_input_name == "input_values":
                length = 15360
            failure = None
            for batch in (1, 2):
                for text in (None, length, 4 * sequence):
                    for sizes in ({}, {"image": (224, 224), "audio_frames": 1000}):
                        try:
                            return (), built.inputs(batch, text, **sizes, **pair)
                        except InputSizeUnknownError as error:
                            failure = error
            raise failure

        yield name, build, inputs


def timm_models():
    """Yield every model of timm at its own input size."""
    timm = importlib.import_module("timm")
    for name in timm.list_models():

        def build(name=name):
            return timm.create_model(name, pretrained=False).train()

        def inputs(_model, name=name):
            size = timm.get_pretrained_cfg(name, allow_unregistered=True)
            shape = size.input_size if size is not None else (3, 224, 224)
            return (torch.zeros(2, *shape),), {}

        yield name, build, inputs


def diffusers_models():
    """Yield the denoisers of diffusers that build by default, with inputs they state."""
    diffusers = importlib.import_module("diffusers")

    def image(model):
        config = model.config
        size = config.sample_size if isinstance(config.sample_size, int) else 32
        return torch.zeros(1, config.in_channels, size or 32, size or 32)

    def unet_inputs(model):
        text = torch.zeros(1, 77, model.config.cross_attention_dim)
        return (image(model), torch.zeros(1), text), {}

    def plain_inputs(model):
        return (image(model), torch.zeros(1)), {}

    def dit_inputs(model):
        return (image(model),), {
            "timestep": torch.zeros(1, dtype=torch.long),
            "class_labels": torch.zeros(1, dtype=torch.long),
        }

    kinds = {
        "UNet2DConditionModel": (
            lambda: diffusers.UNet2DConditionModel(
                cross_attention_dim=768, attention_head_dim=8, sample_size=64
            ),
            unet_inputs,
        ),
        "UNet2DModel": (lambda: diffusers.UNet2DModel(sample_size=32), plain_inputs),
        "DiTTransformer2DModel": (
            lambda: diffusers.DiTTransformer2DModel(sample_size=32),
            dit_inputs,
        ),
        "AutoencoderKL": (
            lambda: diffusers.AutoencoderKL(sample_size=32),
            lambda m: ((image(m),), {}),
        ),
    }
    for name, (build, inputs) in kinds.items():
        yield name, build, inputs


LIBRARIES = {
    "transformers": transformers_models,
    "auto": auto_models,
    "timm": timm_models,
    "diffusers": diffusers_models,
}


def faked(model):
    """The model on fake tensors, to be called inside their mode; what is real in it stays real."""
    state = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            fresh = torch.empty(tensor.shape, dtype=tensor.dtype)
            state[name] = fresh.requires_grad_(tensor.requires_grad)
    return lambda *args, **kwargs: torch.func.functional_call(model, state, args, kwargs)


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
        with FakeTensorMode(allow_non_fake_inputs=True):
            return second_count(
                faked(model), *pytree.tree_map(lambda x: on("cpu", x), (args, kwargs))
            )
    except Exception:
        weights = sum(p.numel() for p in model.parameters())
        if cost is None or cost > 15 * 10**11 or weights > 4 * 10**8:
            raise

    def real(leaf):
        if not torch.is_tensor(leaf) or not leaf.is_meta:
            return leaf
        if not leaf.is_floating_point():
            return torch.zeros(leaf.shape, dtype=leaf.dtype)
        block = torch.randn(1 << 16).mul_(0.02).to(leaf.dtype)
        copies = -(-leaf.numel() // block.numel())
        return block.repeat(copies)[: leaf.numel()].reshape(leaf.shape)

    state = {
        name: real(tensor.detach()).requires_grad_(tensor.requires_grad)
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }

    def called(*positional, **named):
        return torch.func.functional_call(model, state, positional, named)

    return second_count(called, *pytree.tree_map(real, (args, kwargs)))


def counted(model, args, kwargs):
    """Our count, asked as ``flopledger count`` asks: another attention, layout or dtype if need be."""
    built = model.__dict__.get("_built_by_flopcount")
    if built is None:
        return flopcount.count(model, *args, **kwargs), model
    count = importlib.import_module("flopcount.counted_model")._traced(
        built, kwargs, backward=True, convention="dense"
    )
    return count, built.model


def twice(value):
    """Two samples instead of one."""
    if not torch.is_tensor(value) or value.dim() == 0 or value.shape[0] != 1:
        return value
    return torch.cat([value, value])


def examine(build, inputs):
    """One model: our count against the second counter's; a verdict and what to say."""
    try:
        with torch.device("meta"):
            model = build()
    except Exception as error:  # noqa: BLE001
        return "does not build", f"{type(error).__name__}: {str(error)[:80]}"
    try:
        args, kwargs = inputs(model)
    except flopcount.FlopcountError as error:
        return "needs inputs that its config does not tell", " ".join(str(error).split())[-160:]
    started = time.perf_counter()
    built = model.__dict__.get("_built_by_flopcount")
    try:
        try:
            count, model = counted(model, args, kwargs)
        except flopcount.FlopcountError as error:
            if built is None:
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
            return "raises on these inputs by itself too", " ".join(str(error).split())[-400:]
        return "not counted", " ".join(str(error).split())[:300]
    seconds = time.perf_counter() - started
    try:
        second = second_opinion(model, args, kwargs, count.forward)
    except Exception as error:  # noqa: BLE001
        return "no second opinion", f"{type(error).__name__}: {str(error)[:80]}"
    said = f"{count.method}, {seconds:.2f} s"
    if count.uncounted:
        return "unknown op", ", ".join(item.op for item in count.uncounted)
    if (count.forward, count.backward) == second:
        return "exact", said
    if any("random answers" in note or "invented" in note for note in count.notes):
        return "differs, both invent values", f"{said}, {count.notes[-1]}"
    return "differs", f"{said}, ours {count.forward} {count.backward}, second {second}"


def answers_of(file):
    """What an earlier run of the same coverage found, by model."""
    if not file or not Path(file).exists():
        return {}
    return {row[0]: row[1:] for row in map(json.loads, Path(file).read_text().splitlines())}


MOST_SECONDS = 75


def timely(build, inputs):
    """One model, given up after some minutes: a busy machine must not stop the others."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(MOST_SECONDS)
    try:
        return examine(build, inputs)
    except TimeoutError:
        return "not within the time", f"{MOST_SECONDS} s"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_coverage(options):
    """Every model of a library, against the second counter."""
    tally, rows = Counter(), []
    models = LIBRARIES[options.library]
    known = answers_of(options.resume)
    started, late = time.perf_counter(), 0
    for number, (name, build, inputs) in enumerate(models()):
        if options.only and name not in options.only:
            continue
        if number % options.every or not options.start <= number < options.end:
            continue
        if name in known:
            verdict, said = known[name]
        elif time.perf_counter() - started > 60 * options.minutes:
            late += 1
            continue
        else:
            answer = quiet(timely, build, inputs)
            verdict, said = answer if isinstance(answer, tuple) else ("benchmark failed", answer)
            if options.resume:
                with Path(options.resume).open("a") as file:
                    file.write(json.dumps([name, verdict, said]) + "\n")
        tally[verdict] += 1
        if verdict != "exact":
            rows.append(f"| {name} | {verdict} | {' '.join(said.split()).replace('|', '/')} |")
            print(rows[-1], flush=True)
    compared = tally["exact"] + tally["differs"] + tally["unknown op"] + tally["not counted"]
    share = f"{tally['exact']} of {compared} that build and have a second opinion are exact"
    body = f"{share}, forward and backward. {json.dumps(dict(tally))}"
    body += f"; not reached within {options.minutes} minutes: {late}\n\n"
    body += "| model | verdict | |\n|---|---|---|\n" + "\n".join(rows)
    write(f"coverage-{options.library}{'-again' if options.only else ''}", body)


# ------------------------------------------------------------------ speed
def speed_models():
    """The two models of the speed target, with their batch and sequence."""
    transformers = importlib.import_module("transformers")
    llama = transformers.LlamaConfig(
        hidden_size=16384,
        intermediate_size=53248,
        num_hidden_layers=126,
        num_attention_heads=128,
        num_key_value_heads=8,
        vocab_size=128256,
        max_position_embeddings=131072,
    )
    return {
        "Llama-3.1-405B, 1 x 8192": (llama, 8192),
        "DeepSeek-V3, 1 x 2048": (transformers.DeepseekV3Config(), 2048),
    }


def one_speed(name):
    """In a process of its own: interleaved times of both counters, then the peak memory."""
    config, sequence = speed_models()[name]
    auto = importlib.import_module("transformers").AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config, dtype=torch.bfloat16)
    ids = torch.zeros(1, sequence, dtype=torch.long, device="meta")
    ours, theirs = [], []
    peak = 0
    for _ in range(3):
        started = time.perf_counter()
        count = flopcount.count(model, ids, labels=ids)
        ours.append(time.perf_counter() - started)
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        started = time.perf_counter()
        with FlopCounterMode(display=False) as counter:
            model(ids, labels=ids).loss.backward()
        theirs.append(time.perf_counter() - started)
        model.zero_grad()
    answer = [min(ours), min(theirs), peak, count.total, counter.get_total_flops()]
    print(json.dumps(answer))


def run_speed(options):
    """Both models, each in a process of its own."""
    if options.only:
        one_speed(options.only)
        return
    rows = [
        "| model | ours, s | torch's counter, s | ratio | peak MB | our FLOP | torch's FLOP |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in speed_models():
        command = [sys.executable, __file__, "speed", "--only", name]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        ours, theirs, peak, total, charged = json.loads(out.splitlines()[-1])
        rows.append(
            f"| {name} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.3f} | {peak} | "
            f"{total:,} | {charged:,} |"
        )
    write("speed", "Forward and backward, best of three, interleaved.\n\n" + "\n".join(rows))


def main():
    """Choose a part."""
    logging.disable(logging.CRITICAL)
    declare_torchvision()
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(required=True)
    parts.add_parser("cases").set_defaults(run=run_cases)
    coverage = parts.add_parser("coverage")
    coverage.add_argument("library", choices=LIBRARIES)
    coverage.add_argument("--start", type=int, default=0)
    coverage.add_argument("--end", type=int, default=1 << 30)
    coverage.add_argument("--every", type=int, default=1)
    coverage.add_argument("--minutes", type=float, default=600)
    coverage.add_argument("--resume", help="a file of answers, read first and added to")
    coverage.add_argument("--only", nargs="*", help="names to examine again")
    coverage.set_defaults(run=run_coverage)
    speed = parts.add_parser("speed")
    speed.add_argument("--only")
    speed.set_defaults(run=run_speed)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
