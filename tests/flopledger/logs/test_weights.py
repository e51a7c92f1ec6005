"""Headers of weights: parameters and types, shards added up, adapters apart."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from flopledger import logs

from .conftest import codes, value


def weights(**shapes):
    return save({name: np.zeros(shape, dtype=np.float16) for name, shape in shapes.items()})


def test_one_file(written):
    evidence = written({"model.safetensors": weights(a=(10, 20), b=(5,))})
    # 10 x 20 + 5
    assert value(evidence, "parameters") == 205
    assert value(evidence, "stored_dtype") == "F16"


@pytest.mark.parametrize("form", ["model-0000{}-of-00002", "model-0000{}-of-000002", "m-{}-of-2"])
def test_shards_count_once_all_are_there(written, form):
    names = [f"{form.format(number)}.safetensors" for number in (1, 2)]
    files = {names[0]: weights(a=(10, 20)), names[1]: weights(b=(7,))}
    assert logs.assemble(written(files)).parameters.number == 207
    assert logs.assemble(written({names[0]: files[names[0]]})).parameters is None


def test_an_adapter_gives_what_was_trained(written):
    name = "base_model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    data = weights(**{name.format("A"): (8, 4096), name.format("B"): (4096, 8)})
    evidence = written({"adapter_model.safetensors": data})
    # 2 x 8 x 4096
    assert value(evidence, "trainable_parameters") == 65536
    assert evidence.named("parameters") == ()


@pytest.mark.parametrize("cut", [9, 40, 100])
def test_a_cut_header_is_refused(written, cut):
    data = weights(a=(10, 20))[:cut]
    evidence = written({"model.safetensors": data})
    assert evidence.facts == ()
    assert evidence.unread == ("model.safetensors",)


def test_a_header_that_lies_is_refused(written):
    header = json.dumps({"a": {"dtype": "F16", "shape": [-1, 5], "data_offsets": [0, 10]}})
    data = struct.pack("<Q", len(header)) + header.encode() + b"\0" * 10
    evidence = written({"model.safetensors": data})
    assert "evidence-unreadable" in codes(evidence)


def test_what_kohya_writes_into_the_header(written):
    tensors = {
        "lora_unet_q.lora_down.weight": {
            "dtype": "F16",
            "shape": [4, 320],
            "data_offsets": [0, 2560],
        },
        "lora_unet_q.lora_up.weight": {
            "dtype": "F16",
            "shape": [320, 4],
            "data_offsets": [2560, 5120],
        },
        "lora_unet_q.alpha": {"dtype": "F16", "shape": [], "data_offsets": [5120, 5122]},
    }
    metadata = {
        "ss_steps": "1600",
        "ss_epoch": "10",
        "ss_batch_size_per_device": "2",
        "ss_gradient_accumulation_steps": "1",
        "ss_training_started_at": "1690000000.5",
        "ss_training_finished_at": "1690001200.5",
        "ss_mixed_precision": "fp16",
        "ss_sd_model_name": "None",
        "ss_network_dim": "4",
    }
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(5122)
    evidence = written({"lora.safetensors": data})
    facts = logs.assemble(evidence)
    assert value(evidence, "trainable_parameters") == 4 * 320 * 2  # the scale is not trained
    assert facts.steps.number == 1600
    assert facts.wall_seconds.number == 1200
    assert facts.precision.value == "fp16"
    assert evidence.named("base_model") == ()  # "None" is a placeholder
    # how many processes there were is not written
    assert facts.samples.bound == "at least"
