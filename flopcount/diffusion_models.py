"""A diffusers ``config.json`` (``_class_name``) -> the library's own class on meta, and its inputs.

Known are the denoisers whose inputs follow from their configuration: the U-Nets of Stable Diffusion
and the DiT family. Anything else of the library is declined by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flopcount.architectures import Architecture, check_sizes, names_of, quiet_and_offline
from flopcount.closed_form import Dimensions, DimensionsError
from flopcount.config_file import ConfigError, MissingLibraryError
from flopcount.findings import name_mismatch
from flopcount.model_inputs import InputSizeUnknownError
from flopcount.parameters import count_parameters

_KNOWN = ("UNet2DModel", "UNet2DConditionModel", "DiTTransformer2DModel", "Transformer2DModel",
          "PixArtTransformer2DModel", "SD3Transformer2DModel", "FluxTransformer2DModel",
          "AutoencoderKL")  # fmt: skip


@dataclass(slots=True, kw_only=True)
class DiffusionModel(Architecture):
    """A denoiser built from its configuration, on meta; ``config`` is the library's complete one."""

    def inputs(
        self,
        batch: int = 1,
        sequence: int | None = None,
        *,
        latent: tuple[int, int] | None = None,
        text_tokens: int | None = None,
        **_sizes: Any,
    ) -> dict[str, Any]:
        """Return the keyword arguments of one step.

        Args:
            batch: samples.
            sequence: stands in for ``text_tokens`` where that is not given.
            latent: height and width of the latent; the configuration's sample size unless given.
            text_tokens: conditioning tokens, where the model attends to text.

        Raises:
            InputSizeUnknownError: a size is neither given nor in the configuration.
        """
        return _inputs(self, batch, latent, sequence if text_tokens is None else text_tokens)


def load_diffusion(path: Path, config: dict[str, Any]) -> DiffusionModel:
    """Build a diffusers model on meta.

    Raises:
        ConfigError: the class is not known, diffusers is not installed, or refuses to build it.
    """
    name = config.get("_class_name")
    if name == "StableDiffusionPipeline" or path.name == "model_index.json":
        msg = (
            f"{path}: a pipeline of several models\n"
            "  give the folder of the part that was trained, e.g. unet/ or transformer/"
        )
        raise ConfigError(msg)
    if name not in _KNOWN:
        msg = f"{path}: _class_name = {str(name)[:60]!r} is not known\n  known: {', '.join(_KNOWN)}"
        raise ConfigError(msg)
    check_sizes(config, path)
    try:
        import diffusers
    except ImportError as error:
        msg = (
            f"{path}: a diffusers configuration, and diffusers is not installed\n"
            "  pip install 'flopledger[diffusion]'"
        )
        raise MissingLibraryError(msg) from error
    import torch

    keys = {k: v for k, v in config.items() if not k.startswith("_") or k == "_class_name"}
    try:
        with quiet_and_offline(), _quiet_diffusers(diffusers), torch.device("meta"):
            model = getattr(diffusers, str(name)).from_config(keys).to(torch.bfloat16).train()
    except Exception as error:
        first = " ".join(str(error).split())[:200]
        msg = f"{path}: {name} cannot be built\n  {type(error).__name__}: {first}"
        raise ConfigError(msg) from error
    complete = {**dict(model.config), "_class_name": name}
    dimensions, reason = None, None
    try:
        dimensions = Dimensions.from_config(complete)
    except DimensionsError as error:
        reason = str(error)
    parameters = count_parameters(model, config)
    mismatch = name_mismatch(names_of(config, path), parameters.total)
    return DiffusionModel(
        path=path,
        kind="diffusers",
        model_type=str(name),
        class_name=str(name),
        config=complete,
        model=model,
        parameters=parameters,
        dimensions=dimensions,
        no_closed_form=reason,
        findings=[] if mismatch is None else [mismatch],
    )


@contextlib.contextmanager
def _quiet_diffusers(diffusers: Any) -> Iterator[None]:
    level = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        diffusers.utils.logging.set_verbosity(level)


def _inputs(
    built: DiffusionModel, batch: int, latent: tuple[int, int] | None, text_tokens: int | None
) -> dict[str, Any]:
    import torch

    config = built.config
    size = latent if latent is not None else config.get("sample_size")
    if isinstance(size, int):
        size = (size, size)
    if size is None:
        raise _unknown(built, "latent")

    def tensor(*shape: int, dtype: Any = torch.bfloat16) -> Any:
        return torch.zeros(batch, *shape, dtype=dtype, device="meta")

    sample = tensor(config["in_channels"], *size)
    step = torch.zeros(batch, dtype=torch.long, device="meta")
    name = built.class_name
    if name == "AutoencoderKL":
        return {"sample": sample}
    if name == "UNet2DModel":
        return {"sample": sample, "timestep": step}
    if name in ("DiTTransformer2DModel", "Transformer2DModel"):
        return {"hidden_states": sample, "timestep": step, "class_labels": step}
    if text_tokens is None:
        raise _unknown(built, "text_tokens")
    if name == "UNet2DConditionModel":
        width = config["cross_attention_dim"]
        text = tensor(text_tokens, width if isinstance(width, int) else width[0])
        inputs = {"sample": sample, "timestep": step, "encoder_hidden_states": text}
        if config.get("addition_embed_type") == "text_time":
            pooled = config["projection_class_embeddings_input_dim"]
            pooled -= 6 * config["addition_time_embed_dim"]
            inputs["added_cond_kwargs"] = {"text_embeds": tensor(pooled), "time_ids": tensor(6)}
        return inputs
    if name == "PixArtTransformer2DModel":
        extra = {"resolution": tensor(2), "aspect_ratio": tensor(1)}
        wants = built.model.config.sample_size == 128
        return {
            "hidden_states": sample,
            "encoder_hidden_states": tensor(text_tokens, config["caption_channels"]),
            "timestep": step,
            "added_cond_kwargs": extra if wants else {"resolution": None, "aspect_ratio": None},
        }
    if name == "SD3Transformer2DModel":
        return {
            "hidden_states": sample,
            "encoder_hidden_states": tensor(text_tokens, config["joint_attention_dim"]),
            "pooled_projections": tensor(config["pooled_projection_dim"]),
            "timestep": step,
        }
    patches = (size[0] // 2) * (size[1] // 2)
    ids = torch.zeros(patches, 3, dtype=torch.bfloat16, device="meta")
    flux = {
        "hidden_states": tensor(patches, config["in_channels"]),
        "encoder_hidden_states": tensor(text_tokens, config["joint_attention_dim"]),
        "pooled_projections": tensor(config["pooled_projection_dim"]),
        "timestep": step,
        "img_ids": ids,
        "txt_ids": torch.zeros(text_tokens, 3, dtype=torch.bfloat16, device="meta"),
    }
    return flux | ({"guidance": tensor()} if config.get("guidance_embeds") else {})


def _unknown(built: DiffusionModel, name: str) -> InputSizeUnknownError:
    return InputSizeUnknownError(
        f"{built.path}: the input size '{name}' is neither given nor fixed by the configuration\n"
        f"  give --{name.replace('_', '-')}"
    )
