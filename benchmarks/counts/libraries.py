"""The models of whole libraries, one after the other, each with how to build it and its inputs."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import tempfile
from pathlib import Path

import torch

from benchmarks.counts.families import DEPTHS, auto_models
from benchmarks.counts.stated_diffusers import CONFIGS, INPUTS
from flopcount.model_files.inputs.sizes import InputSizeUnknownError


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


MOST_LAYERS = 1000


def diffusers_config(cls, layers):
    """Write a class's defaults as its config.json states them, at most so many layers deep."""
    taken = inspect.signature(cls.__init__).parameters
    default = {k: p.default for k, p in taken.items() if p.default is not p.empty}
    whole = {**default, **CONFIGS.get(cls.__name__, {}), "_class_name": cls.__name__}
    deep = [k for k, v in whole.items() if k in DEPTHS and isinstance(v, int)]
    return {**whole, **{key: min(whole[key], layers) for key in deep}}


def diffusers_models(layers=4):
    """Yield every transformer and U-Net of diffusers, its defaults as a config.json states them."""
    diffusers = importlib.import_module("diffusers")
    load = importlib.import_module("flopcount.model_files.architectures").load
    places = ("transformers", "unets")
    modules = [importlib.import_module(f"diffusers.models.{place}") for place in places]
    classes = {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, diffusers.ModelMixin)
    }
    for name, cls in sorted(classes.items()):
        made = {}

        def build(cls=cls, made=made, layers=layers):
            stated = diffusers_config(cls, layers)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "config.json"
                path.write_text(json.dumps(stated))
                built = made["built"] = load(path)
            built.model.__dict__["_built_by_flopcount"] = built
            return built.model

        def inputs(_model=None, made=made, name=name):
            stated = INPUTS.get(name)
            if stated is not None:
                return (), stated.inputs(made["built"])
            open_sizes = {"text_tokens": 64, "latent": (32, 32), "frames": 5}
            sizes = {}
            while True:
                try:
                    return (), made["built"].inputs(1, **sizes)
                except InputSizeUnknownError as error:
                    asked = [size for size in open_sizes if f"'{size}'" in str(error)]
                    if not asked or asked[0] in sizes:
                        raise
                    sizes[asked[0]] = open_sizes[asked[0]]

        build.whole = functools.partial(build, layers=MOST_LAYERS)
        yield name, build, inputs


LIBRARIES = {
    "transformers": transformers_models,
    "auto": auto_models,
    "timm": timm_models,
    "diffusers": diffusers_models,
}
