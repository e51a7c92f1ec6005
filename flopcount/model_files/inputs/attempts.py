"""Ways to ask a model that raised once more, none of which changes a FLOP of what it then computes.

A signature tells which inputs a model takes, not which of the optional ones it cannot do without,
and no configuration says whether sound has an axis for its one channel. The model's own complaint
does: what it misses by name is given, then layouts and other kernels are tried.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flopcount.causal_attention import NAMES
from flopcount.errors import CountError, FlopcountError
from flopcount.model_files.inputs.image_tokens import seen

if TYPE_CHECKING:
    from flopcount.model_files.architectures import Architecture

PATIENCE_SECONDS = 40.0
"""Processor time after which a model that raised in every way so far is asked in no further one."""
ONE_SAMPLE = "more than 1 value per channel when training"
"""What torch says where a batch normalisation meets a single number a channel."""
_OFTEN_MISSED = (
    "attention_mask",
    "image_attention_mask",
    "input_ids",
    "decoder_input_ids",
    "pixel_values",
    "input_features",
    "input_features_mask",
    "bbox",
)
_MOST_COMPLETIONS = 4


class Attempts:
    """Yields once for each way to ask; changes the inputs, or the model, in place before it does."""

    def __init__(self, built: Architecture, inputs: dict[str, Any]) -> None:
        self.built = built
        self.inputs = inputs
        self.failure: CountError | None = None
        """The latest failure; the caller sets it."""
        self._plain: CountError | None = None  # the complaint before any layout was changed
        self._completions = 0

    def __iter__(self) -> Iterator[None]:
        """Yield for each attempt; whoever asks stops at the first that succeeds."""
        started = time.process_time()
        yield
        kernels = (
            _single_if_asked,
            _plain_words,
            _library_attention,
            _eager_attention,
            _with_tables,
        )
        for change in (None, *kernels, *_LAYOUTS, _single_precision, _with_tables):
            if change in _LAYOUTS:
                self._plain = self._plain or self.failure
                if self.asks_for_values():
                    continue  # the layout is right: the model went as far as to read numbers
            if change is not None and not change(self):
                continue
            if change is not None:
                yield
            while self._complete():
                yield
            spent = time.process_time() - started
            if spent > PATIENCE_SECONDS or ONE_SAMPLE in str(self.failure):
                return

    def asks_for_values(self) -> bool:
        """Say whether the latest complaint is of numbers that tensors without storage have not."""
        words = ("item()", "_local_scalar_dense", "UnknownValue", "nonzero", "DataDependent")
        return any(word in str(self.failure) for word in words)

    def told(self) -> CountError:
        """Return the failure worth telling, with what is known to mend it."""
        failure = self._plain or self.failure
        assert failure is not None
        text = str(failure)
        sizes: Any = getattr(self.built.maker, "sizes", None)
        if ONE_SAMPLE in text:
            text += "; a batch normalisation cannot train on one sample: give --batch 2 or more"
        positions = None if sizes is None else sizes.number("max_position_embeddings")
        if positions is not None and (sizes.sequence or 0) > positions:
            text += f"; the configuration has max_position_embeddings = {positions}"
            text += f", the sequence given has {sizes.sequence}: give a shorter one"
        return type(failure)(text)

    def _complete(self) -> bool:
        """Give what the latest complaint misses: by name, or the likeliest where it names nothing."""
        maker = self.built.maker
        if maker is None or self.failure is None or self._completions >= _MOST_COMPLETIONS:
            return False
        complaint = str(self.failure)
        left = [n for n in maker.accepted if n not in self.inputs and maker.knows(n)]
        named = [n for n in re.findall(r"\w+", complaint) if n in left]
        if not named and "NoneType" in complaint:
            named = [n for n in _OFTEN_MISSED if n in left]
        for name in dict.fromkeys(named):
            self._completions += 1
            try:
                self.inputs[name] = maker.make(name)
            except FlopcountError as error:
                if "is neither given nor fixed" in str(error):
                    raise
                continue
            return True
        return False


def _attention(asked: Attempts, name: str) -> bool:
    """The library's own attention, with a mask that hides nothing: it looks for padding in it."""
    import torch

    try:
        asked.built.model.set_attn_implementation(name)
    except (AttributeError, ValueError, ImportError):
        return False
    maker, ids = asked.built.maker, asked.inputs.get("input_ids")
    takes = maker is not None and "attention_mask" in maker.accepted
    if takes and ids is not None and "attention_mask" not in asked.inputs:
        asked.inputs["attention_mask"] = torch.ones(ids.shape, dtype=torch.long)
    if name == "eager":
        _build_masks(asked.built.model)
    return True


def _build_masks(model: Any) -> None:
    """Let the library build masks for models whose attention it cannot exchange."""
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "_attn_implementation_internal", None) in NAMES:
            config._attn_implementation_internal = "eager"


def _plain_words(asked: Attempts) -> bool:
    """Token ids with values, none of them a special token, for a model that looks for those."""
    import torch

    maker, ids = asked.built.maker, asked.inputs.get("input_ids")
    if maker is None or ids is None or not ids.is_meta or not asked.asks_for_values():
        return False
    stated = [
        value
        for config in maker.sizes.configs()
        for key, value in vars(config).items()
        if key.endswith(("token_id", "token_index", "_id"))
    ]
    word = next(number for number in range(len(stated) + 1) if number not in stated)
    asked.inputs["input_ids"] = torch.full(ids.shape, word)
    return True


def _with_tables(asked: Attempts) -> bool:
    """The same model with its small constant tensors real, where it asks for their values."""
    rebuild = asked.built.rebuild
    if rebuild is None or not asked.asks_for_values():
        return False
    asked.built.rebuild = None  # once is enough
    dtype = next(asked.built.model.parameters()).dtype
    try:
        asked.built.model = rebuild().to(dtype)
    except Exception:  # noqa: BLE001 - a constructor may do anything; the model built before stays
        return False
    return True


def _library_attention(asked: Attempts) -> bool:
    return _attention(asked, "sdpa")


def _eager_attention(asked: Attempts) -> bool:
    return _attention(asked, "eager")


def _transposed(asked: Attempts) -> bool:
    """A spectrogram by frames instead of by bins."""
    found = asked.inputs.get("input_features")
    if found is None or found.dim() != 3:
        return False
    asked.inputs["input_features"] = found.transpose(1, 2)
    return True


def _channelled(asked: Attempts) -> bool:
    """Sound of one channel, with the axis that says so."""
    for name, plain in (("input_values", 2), ("input_features", 3)):
        found = asked.inputs.get(name)
        if found is not None and found.dim() == plain:
            asked.inputs[name] = found[:, None]
            return True
    return False


def _stacked(asked: Attempts) -> bool:
    """One image a sample, with the axis that counts a sample's images."""
    found = asked.inputs.get("pixel_values")
    complained = re.search(r"expected [45], got|5D", str(asked.failure))
    if found is None or found.dim() != 4 or not complained:
        return False
    asked.inputs["pixel_values"] = seen(found[:, None])
    return True


def _square_patches(asked: Attempts) -> bool:
    """Flattened patches as small images: (patches, channels, height, width)."""
    found, maker = asked.inputs.get("pixel_values"), asked.built.maker
    complaint = re.search(r"\(batched\) input to conv2d|expected ([45]), got 2", str(asked.failure))
    if found is None or found.dim() != 2 or maker is None or complaint is None:
        return False
    high, wide = maker.patch()
    images = found.reshape(found.shape[0], -1, high, wide)
    asked.inputs["pixel_values"] = images[None] if complaint[1] == "5" else images
    return True


def _paired(asked: Attempts) -> bool:
    """Two images a sample, for models that compare them."""
    found = asked.inputs.get("pixel_values")
    if found is None or found.dim() != 5 or found.shape[1] != 1:
        return False
    if "batch_size, 2" not in str(asked.failure):
        return False
    asked.inputs["pixel_values"] = found.expand(-1, 2, -1, -1, -1)
    return True


def _boxes_in_fractions(asked: Attempts) -> bool:
    """Boxes as fractions of the page instead of thousandths."""
    found = asked.inputs.get("bbox")
    if found is None or found.is_floating_point():
        return False
    asked.inputs["bbox"] = found.to(asked.built.maker.dtype)
    return True


def _single_precision(asked: Attempts) -> bool:
    """Single precision, for an op that has no kernel in bf16."""
    if all(p.dtype.itemsize >= 4 for p in asked.built.model.parameters()):
        return False
    asked.built.model.float()
    for name, value in asked.inputs.items():
        if hasattr(value, "is_floating_point") and value.is_floating_point():
            asked.inputs[name] = value.float()
    return True


def _single_if_asked(asked: Attempts) -> bool:
    """Single precision before any other layout, where the complaint is of a number's type."""
    words = ("dtype", "BFloat16", "bfloat16", "scalar type")
    complained = any(word in str(asked.failure) for word in words)
    return complained and _single_precision(asked)


_LAYOUTS = (
    _transposed,
    _channelled,
    _stacked,
    _square_patches,
    _paired,
    _boxes_in_fractions,
)
