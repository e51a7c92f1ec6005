"""A config.json -> the library's own model class on the meta device, ready to be traced.

Nothing is downloaded, no remote code runs, nobody is asked anything, no weight is allocated.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flopcount import causal_attention
from flopcount.closed_form import Dimensions, DimensionsError
from flopcount.findings import Finding, name_mismatch, prediction_left_out, sizes_unread
from flopcount.model_files.bounded_build import TooManyModulesError, bounded_modules
from flopcount.model_files.config_file import ConfigError, find_config, need_libraries, read_json
from flopcount.model_files.families import UnknownFamilyError, known_part, translated
from flopcount.model_files.model_classes import class_of, library_class
from flopcount.model_files.parameters import ParameterCount, count_parameters
from flopcount.model_files.stated_sizes import check_sizes, left_open, never_read, without_manner

_DEEPEST_NESTING = 4


@dataclass(slots=True, kw_only=True)
class Architecture:
    """A model built from its configuration, on the meta device and in training mode."""

    path: Path
    model_type: str
    class_name: str
    config: Mapping[str, Any]
    """The file's own keys."""
    model: Any
    """The module, all parameters on meta."""
    parameters: ParameterCount
    dimensions: Dimensions | None
    """What the closed form needs; None where it knows no form for the family."""
    no_closed_form: str | None
    """The reason when ``dimensions`` is None."""
    assumptions: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    kind: str = "transformers"
    rebuild: Callable[[], Any] | None = None
    """Builds the model once more, its small constant tensors real; None where that is not done."""
    maker: Any = None
    """Makes inputs of the sizes that were asked for last."""

    def inputs(self, batch: int = 1, sequence: int | None = None, **sizes: Any) -> dict[str, Any]:
        """Return keyword arguments of one training step on meta; see :mod:`model_inputs`."""
        from flopcount.model_files.inputs.stated import stated_inputs
        from flopcount.model_files.model_inputs import inputs_of, maker_of

        specs = sizes.pop("given", None) or {}
        self.maker = maker_of(self.model, str(self.path), batch=batch, sequence=sequence, **sizes)
        return inputs_of(self.maker, stated_inputs(specs, self.maker.dtype))


def load(path: str | Path) -> Architecture:
    """Build the model that a config.json (or its folder) describes, on meta.

    A configuration of diffusers gives a :class:`~flopcount.model_files.diffusion_models.DiffusionModel`.

    Raises:
        ConfigError: the file cannot be read, asks for remote code of an unknown family, or the
            library refuses to build it. The message names the file, the key and the cure.
    """
    file = find_config(Path(path))
    config = read_json(file)
    if "_class_name" in config:
        from flopcount.model_files.diffusion_models import load_diffusion

        return load_diffusion(file, config)
    check_sizes(config, file)
    need_libraries(file, "torch", "transformers")
    config, findings = translated(config, file)
    findings += _remote_code(config, file)
    with quiet_and_offline():
        parsed, model_type = _parse(config, file)
        dropped = _keep_layers(parsed)
        cls, assumption = class_of(config, parsed, file)
        _without_cache(cls, parsed)
        model = _build(cls, parsed, file)
    untied, emptied = _untie(model, config), _without_empty_rows(model)
    dimensions, reason = _dimensions(cls, parsed, untied=untied is not None)
    built = Architecture(
        path=file,
        model_type=model_type,
        class_name=cls.__name__,
        config=config,
        model=model,
        parameters=count_parameters(model, {**parsed.to_dict(), **config}),
        dimensions=dimensions,
        no_closed_form=reason,
        assumptions=tuple(
            n for n in (assumption, left_open(config, parsed), dropped, untied, emptied) if n
        ),
        findings=findings,
        rebuild=lambda: _rebuilt(cls, parsed),
    )
    built.findings += _left_out(config, model, file)
    built.findings += sizes_unread(never_read(config, parsed), cls.__name__, file)
    sizes = built.parameters
    mismatch = name_mismatch(names_of(config, file), sizes.total, active=sizes.active)
    if mismatch is not None:
        built.findings.append(mismatch)
    return built


_REMARKING = ("torchao", "torch.utils._pytree")
"""What transformers loads beside itself, where installed, and what that makes torch remark on."""


@contextlib.contextmanager
def quiet_and_offline() -> Iterator[None]:
    """Forbid downloads and keep the libraries' own remarks off the terminal, then restore.

    Loading a library and building a model make a million lasting objects; looking for garbage among
    them again and again takes a seventh of the time and finds none, so the search pauses.
    """
    collecting = gc.isenabled()
    gc.disable()
    wanted = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DIFFUSERS_OFFLINE": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        import transformers.utils.logging as library_logging

        level = library_logging.get_verbosity()
        library_logging.set_verbosity_error()
        others = {name: logging.getLogger(name).level for name in _REMARKING}
        for name in others:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            library_logging.set_verbosity(level)
            for name, before_it in others.items():
                logging.getLogger(name).setLevel(before_it)
    finally:
        if collecting:
            gc.enable()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _remote_code(config: Mapping[str, Any], file: Path) -> list[Finding]:
    """Refuse code beside the file, unless the family is the library's own without it."""
    if not config.get("auto_map"):
        return []
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model_type = config.get("model_type")
    names = config.get("architectures") or []
    if model_type in CONFIG_MAPPING and names and library_class(names[0]) is not None:
        return [
            Finding(
                code="remote-code-not-run",
                severity="info",
                message=(
                    f"the file asks for code of its own (auto_map); '{names[0]}' of the installed "
                    "library was built instead, nothing else was run"
                ),
                evidence=(str(file),),
            )
        ]
    msg = (
        f"{file}: the key 'auto_map' asks to run code that comes with the model\n"
        f"  found model_type = {str(model_type)[:60]!r}, architectures = {str(names)[:80]}, "
        "which the installed library does not know by itself\n"
        "  remote code is never run: state the dimensions (architecture = {...}) instead, "
        "or give a class of your own as package.module:factory"
    )
    raise UnknownFamilyError(msg + known_part(config))


def _left_out(config: Mapping[str, Any], model: Any, file: Path) -> list[Finding]:
    """Tell when the file states prediction modules that the library's class does not build."""
    found = prediction_left_out(config, file)
    built = any("mtp" in name or "nextn" in name for name, _ in model.named_modules())
    return [] if found is None or built else [found]


def _without_empty_rows(model: Any) -> str | None:
    """Leave out the rows that the library's LongCat reserves for experts that have no weights.

    Nothing reads them, and published weights have none: they would be a third of the experts.
    """
    import torch

    dropped = 0
    for module in model.modules():
        empty, real = (
            getattr(module, "zero_expert_num", 0),
            getattr(module, "num_routed_experts", 0),
        )
        rows = getattr(module, "gate_up_proj", None)
        if empty and real and isinstance(rows, torch.nn.Parameter) and len(rows) == real + empty:
            dropped += rows[real:].numel()
            module.gate_up_proj = torch.nn.Parameter(torch.empty_like(rows[:real]))
    if not dropped:
        return None
    return f"{dropped:,} numbers that the library reserves for experts without weights are left out"


def _untie(model: Any, config: Mapping[str, Any]) -> str | None:
    """Give the output head a weight of its own where the file says so and the library ties.

    The library ties every T5, its published successors (T5 1.1, Flan, mT5) have two tables.
    """
    import torch

    if config.get("tie_word_embeddings") is not False:
        return None
    try:
        head, table = model.get_output_embeddings(), model.get_input_embeddings()
    except NotImplementedError:  # a part of a model, without tables of its own
        return None
    weight = getattr(table, "weight", None)  # a table of several codebooks holds none itself
    if weight is None or getattr(head, "weight", None) is not weight:
        return None
    head.weight = torch.nn.Parameter(torch.empty_like(weight))
    return "tie_word_embeddings = false: the output head has a weight of its own, as the file says"


def _parse(config: Mapping[str, Any], file: Path) -> tuple[Any, str]:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model_type = config.get("model_type")
    if model_type is None:
        msg = (
            f"{file}: states no model_type, so its family is unknown\n"
            "  give the model's own config.json, or state the dimensions (architecture = {...}) instead"
        )
        raise UnknownFamilyError(msg)
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        msg = (
            f"{file}: model_type = {str(model_type)[:60]!r} is not known to the installed library\n"
            "  update transformers, or state the dimensions (architecture = {...}) instead"
        )
        raise UnknownFamilyError(msg + known_part(config))
    left_out = ("auto_map", "quantization_config")
    keys = {k: _plain(v) for k, v in config.items() if k not in left_out}
    keys = without_manner(keys)
    try:
        return CONFIG_MAPPING[model_type].from_dict(keys), model_type
    except Exception as error:  # noqa: BLE001 - a validator may raise anything; reported
        what = f"the library refuses the configuration of '{model_type}'"
        raise _refused(file, what, error) from None


def _keep_layers(parsed: Any, depth: int = 0) -> str | None:
    """Switch LayerDrop off, in nested configurations too, and say so.

    In training it leaves out whole layers at random: a trace would count another model each time.
    """
    rates = []
    for name, value in list(vars(parsed).items()):
        if (
            "layerdrop" in name.replace("_", "").lower()
            and isinstance(value, int | float)
            and value
        ):
            setattr(parsed, name, 0.0)
            rates.append(value)
        elif hasattr(value, "model_type") and depth < _DEEPEST_NESTING:
            rates += [0.0] if _keep_layers(value, depth + 1) else []
    if not rates:
        return None
    return "LayerDrop leaves out layers at random in training: all of them are counted here"


def _without_cache(cls: Any, parsed: Any) -> None:
    """Switch decoding's cache off, which a training keeps none of, where no input says so.

    The library makes one by the configuration alone, and asks it what one of states cannot say.
    """
    if "use_cache" in inspect.signature(cls.forward).parameters:
        return
    for one in (parsed, parsed.get_text_config()):
        if getattr(one, "use_cache", False):
            one.use_cache = False


def _plain(value: Any) -> Any:
    """Turn the library's way to write an infinity, ``{"__float__": "Infinity"}``, into one."""
    if isinstance(value, dict):
        if set(value) == {"__float__"} and value["__float__"] in ("Infinity", "-Infinity", "NaN"):
            return float(value["__float__"])
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _refused(file: Path, what: str, error: BaseException) -> ConfigError:
    first = " ".join(str(error).split())[:300]
    return ConfigError(
        f"{file}: {what}\n  {type(error).__name__}: {first}\n"
        "  mend the key that it names, or state the dimensions (architecture = {...}) instead"
    )


def _build(cls: Any, parsed: Any, file: Path) -> Any:
    """Build on meta; attention that names its mask where the class lets us, else as it is.

    A class with attention of its own would take our name for it, build no mask and attend in full.
    """
    import torch

    from flopcount.model_files.inputs.building import fill_stored_masks

    failures: list[Exception] = []
    fused = bool(getattr(cls, "_supports_sdpa", True))
    named = (causal_attention.register(fused=fused),) if _takes_attentions(cls) else ()
    for attention in (*named, "sdpa", "eager", None):
        keywords = {} if attention is None else {"attn_implementation": attention}

        def build(keywords: dict[str, Any] = keywords) -> Any:
            with bounded_modules(file), torch.device("meta"):
                return cls._from_config(parsed, dtype=torch.bfloat16, **keywords)

        try:
            model = build().to(device="meta").train()
        except TooManyModulesError:
            raise
        except Exception as error:  # noqa: BLE001 - any class may fail in any way; reported below
            failures.append(error)
            continue
        fill_stored_masks(model, build)
        return model
    raise _refused(file, f"{cls.__name__} cannot be built", failures[-1]) from None


def _takes_attentions(cls: Any) -> bool:
    """Whether the library says that a class calls whichever attention it is told to."""
    says = getattr(cls, "_can_set_attn_implementation", None)
    return says is None or bool(says())


def _rebuilt(cls: Any, parsed: Any) -> Any:
    """Build with the values of small constants, which some models ask for in their forward pass."""
    import torch

    from flopcount.model_files.inputs.building import SmallTablesReal, without_real_weights

    with quiet_and_offline(), SmallTablesReal():
        model = cls._from_config(parsed, dtype=torch.bfloat16, attn_implementation="eager")
    return without_real_weights(model).train()


def _dimensions(cls: Any, parsed: Any, *, untied: bool) -> tuple[Dimensions | None, str | None]:
    """Read the closed form's dimensions from the library's complete configuration."""
    stated = {**parsed.to_dict(), "architectures": [cls.__name__]}
    if untied:
        stated["tie_word_embeddings"] = False
    try:
        return Dimensions.from_config(stated), None
    except DimensionsError as error:
        return None, str(error)


def names_of(config: Mapping[str, Any], file: Path) -> list[str]:
    """Names that may state a size: the file's own, its folder's, and what the config says."""
    own = [config.get("_name_or_path"), config.get("name"), config.get("model_name")]
    place = file.parent.resolve().name if file.name == "config.json" else file.stem
    return [name for name in [*own, place] if isinstance(name, str) and name]
