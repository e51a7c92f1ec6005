"""A diffusers ``config.json`` (``_class_name``) -> the library's own class on meta, and its inputs.

Any model class of the library builds; :mod:`flopcount.model_files.inputs.denoising` makes the inputs of those
whose configuration tells them, the others' are to be given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flopcount.closed_form import Dimensions, DimensionsError
from flopcount.findings import name_mismatch
from flopcount.model_files.architectures import Architecture, names_of, quiet_and_offline
from flopcount.model_files.bounded_build import TooManyModulesError, bounded_modules
from flopcount.model_files.config_file import ConfigError, MissingLibraryError
from flopcount.model_files.inputs.denoiser import Denoiser
from flopcount.model_files.inputs.denoising import denoiser_inputs
from flopcount.model_files.inputs.stated import stated_inputs
from flopcount.model_files.parameters import count_parameters
from flopcount.model_files.stated_sizes import check_sizes, left_to_diffusers


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
        frames: int | None = None,
        given: dict[str, str] | None = None,
        **_sizes: Any,
    ) -> dict[str, Any]:
        """Return the keyword arguments of one step.

        Args:
            batch: samples.
            sequence: stands in for ``text_tokens`` where that is not given.
            latent: height and width of the latent; the configuration's sample size unless given.
            text_tokens: conditioning tokens, where the model attends to text.
            frames: of a video's latent; the configuration's unless given.
            given: inputs by name, as texts that :mod:`flopcount.model_files.inputs.stated` reads.

        Raises:
            InputSizeUnknownError: a size is neither given nor in the configuration.
            FlopcountError: the model reads something of a kind that is not known.
        """
        denoiser = Denoiser(
            source=str(self.path),
            name=self.class_name,
            model=self.model,
            config=self.config,
            batch=batch,
            latent=latent,
            text_tokens=sequence if text_tokens is None else text_tokens,
            frames=frames,
        )
        stated = stated_inputs(given or {}, next(self.model.parameters()).dtype)
        return denoiser_inputs(denoiser, stated)


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
    check_sizes(config, path)
    model = _built(path, config)
    complete = {**dict(model.config), "_class_name": name}
    dimensions, reason = None, None
    try:
        dimensions = Dimensions.from_config(complete)
    except DimensionsError as error:
        reason = str(error)
    parameters = count_parameters(model, config)
    mismatch = name_mismatch(names_of(config, path), parameters.total)
    open_sizes = left_to_diffusers(config, complete)
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
        assumptions=() if open_sizes is None else (open_sizes,),
        findings=[] if mismatch is None else [mismatch],
    )


def _built(path: Path, config: dict[str, Any]) -> Any:
    """The model of a configuration, without storage: raises as :func:`load_diffusion` does."""
    name = config.get("_class_name")
    try:
        import diffusers
    except ImportError as error:
        msg = (
            f"{path}: a diffusers configuration, and diffusers is not installed\n"
            "  pip install 'flopledger[diffusion]'"
        )
        raise MissingLibraryError(msg) from error
    import torch

    cls = _library_class(diffusers, name)
    if cls is None:
        msg = (
            f"{path}: _class_name = {str(name)[:60]!r} is no model of the installed diffusers\n"
            "  update diffusers, or give package.module:factory"
        )
        raise ConfigError(msg)
    keys = {k: v for k, v in config.items() if not k.startswith("_") or k == "_class_name"}
    try:
        with (
            quiet_and_offline(),
            _quiet_diffusers(diffusers),
            bounded_modules(path),
            torch.device("meta"),
        ):
            return cls.from_config(keys).to(torch.bfloat16).train()
    except TooManyModulesError:
        raise
    except Exception as error:
        first = " ".join(str(error).split())[:200]
        msg = f"{path}: {name} cannot be built\n  {type(error).__name__}: {first}"
        raise ConfigError(msg) from error


def _library_class(diffusers: Any, name: object) -> Any:
    """Return the model class of that name, or None: no pipeline, no scheduler, nothing else."""
    if not isinstance(name, str) or not name.isidentifier():
        return None
    found = getattr(diffusers, name, None) or getattr(diffusers.models, name, None)
    is_model = isinstance(found, type) and issubclass(found, diffusers.ModelMixin)
    return found if is_model else None


@contextlib.contextmanager
def _quiet_diffusers(diffusers: Any) -> Iterator[None]:
    level = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        diffusers.utils.logging.set_verbosity(level)
