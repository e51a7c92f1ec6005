"""Further families whose code comes with their weights: block diffusion, loops, and two Llamas."""

from collections.abc import Callable

from flopcount.closed_form.dialects_common import (
    Reading,
    few_layers,
    fine_experts,
    llama,
    qwen_windows,
)
from flopcount.closed_form.dialects_custom import bailing
from flopcount.closed_form.dimensions import DimensionsError
from flopcount.closed_form.fields import Fields

_BLOCKS = (
    "block diffusion: a pass over the stated positions; the family trains on a clean copy beside the noisy "
    "one, twice the positions a token, and predicts the masked ones of the noisy half alone"
)


def _sdar(f: Fields) -> Reading:
    """SDAR: a Qwen3 whose positions see their own block to its end, and the blocks before it."""
    reading = qwen_windows(f, llama(f, head_dim=128) | {"qk_norm": "head"})
    block = f.maybe_integer("block_size")
    seen = () if block else ("block_size is not stated: the masks are counted as causal",)
    return reading | {
        "details": {"mask_block": block or 1},
        "assumptions": (_BLOCKS, *seen),
    }


def _sdar_moe(f: Fields) -> Reading:
    """SDAR with experts, as Qwen3 has them."""
    layers = few_layers(f.integer("num_hidden_layers"))
    listed = {i for i in f.items("mlp_only_layers") or [] if isinstance(i, int)}
    step = f.maybe_integer("decoder_sparse_step") or 1
    mixed = sum((i + 1) % step == 0 and i not in listed for i in range(layers))
    return fine_experts(f, _sdar(f), "num_experts") | {"dense_layers": layers - mixed}


def _llada2(f: Fields) -> Reading:
    """LLaDA 2: Ling's experts under SDAR's masks."""
    block = f.maybe_integer("block_size", "block_length")
    seen = () if block else ("block_size is not stated: the masks are counted as causal",)
    details = {"mask_block": block or 1}
    return bailing(f) | {"details": details, "assumptions": (_BLOCKS, *seen)}


def _telechat3(f: Fields) -> Reading:
    """TeleChat3: a Llama."""
    if f.flag("share_ffn"):
        raise DimensionsError("config.json: share_ffn = true has no closed form here")
    return llama(f)


def _pangu(f: Fields) -> Reading:
    """openPangu-Embedded: a Llama with one switch for the biases of attention's four projections."""
    bias = f.flag("bias", default=True)
    return llama(f) | {"qkv_bias": bias, "output_bias": bias, "ffn_bias": False}


def _ouro(f: Fields) -> Reading:
    """Ouro: all layers are passed several times, and each pass is answered by the head.

    Training weighs the answers of all passes by what a gate of one output tells of each.
    """
    passes = f.maybe_integer("total_ut_steps") or 4
    note = f"each of {passes} passes through the layers has its logits, as in training"
    return llama(f) | {
        "qkv_bias": False,
        "output_bias": False,
        "ffn_bias": False,
        "norms_per_layer": 4,
        "details": {"passes": passes},
        "assumptions": (note,),
    }


FURTHER: dict[str, Callable[[Fields], Reading]] = {
    "sdar": _sdar,
    "sdar_moe": _sdar_moe,
    "llada2_moe": _llada2,
    "telechat3": _telechat3,
    "PanguEmbedded": _pangu,
    "ouro": _ouro,
}
