"""The models of whole libraries, one after the other, each with how to build it and its inputs."""

from __future__ import annotations

import importlib

import torch

from benchmarks.counts.families import auto_models


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
