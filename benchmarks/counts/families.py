"""Families of transformers, each with the configuration that a published file would state."""

from __future__ import annotations

import functools
import importlib
import json
import re
import tempfile
from pathlib import Path

import flopcount
from benchmarks.counts.stated_configs import CONFIGS
from benchmarks.counts.stated_transformers import INPUTS
from flopcount.model_files.inputs.sizes import InputSizeUnknownError

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
    "num_single_layers",
    "num_mmdit_layers",
    "num_single_dit_layers",
    "num_visual_blocks",
    "num_refiner_layers",
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


def merged(config, stated):
    """The configuration with what is stated, in nested ones too."""
    result = dict(config)
    for key, value in stated.items():
        inner = isinstance(value, dict) and isinstance(config.get(key), dict)
        result[key] = merged(config[key], value) if inner else value
    return result


def auto_config(name, layers):
    """Write a family's configuration as its published files are: defaults and the class's name."""
    transformers = importlib.import_module("transformers")
    configs = importlib.import_module("transformers.models.auto.configuration_auto")
    parsed = configs.CONFIG_MAPPING[name]()
    written = merged(parsed.to_dict(), CONFIGS.get(name, {}))
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
    "MODEL_FOR_TABLE_RECOGNITION_MAPPING",
    "MODEL_MAPPING",
)


def auto_classes():
    """The families that some Auto class builds; the others are parts of larger models."""
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    tables = [v for k, v in vars(auto).items() if re.fullmatch(r"MODEL_\w*MAPPING_NAMES", k)]
    return {name for table in tables for name in table}


def auto_models(sequence=64, layers=4):
    """Yield every family of transformers under its usual head, as a config.json would build it."""
    from flopcount.model_files.architectures import load

    configs = importlib.import_module("transformers.models.auto.configuration_auto")
    for name in configs.CONFIG_MAPPING_NAMES:
        made = {}

        def build(name=name, made=made, depths=(layers, None)):
            failure = None
            for depth in depths:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "config.json"
                    path.write_text(json.dumps(auto_config(name, depth), default=str))
                    try:
                        built = made["built"] = load(path)
                        stated = INPUTS.get(name)
                        if stated is not None and stated.around is not None:
                            if stated.tables:
                                built.model = built.rebuild()
                            return stated.around(built.model)
                        built.model.__dict__["_built_by_flopcount"] = built
                        return built.model
                    except flopcount.FlopcountError as error:
                        failure = failure or error
            raise failure

        def inputs(_model=None, made=made, name=name):
            stated = INPUTS.get(name)
            built = made["built"]
            if stated is not None:
                return (), stated.inputs(built, sequence=sequence)
            pair = {"decoder_sequence": 16} if built.config.get("is_encoder_decoder") else {}
            positions = built.config.get("max_position_embeddings")
            length = min(sequence, positions if isinstance(positions, int) else sequence)
            if built.model.main_input_name == "input_values":
                length = 15360
            failure = None
            for batch in (1, 2):
                for text in (None, length, 4 * sequence):
                    for sizes in ({}, {"image": (224, 224), "audio_frames": 1000, "frames": 8}):
                        try:
                            return (), built.inputs(batch, text, **sizes, **pair)
                        except InputSizeUnknownError as error:
                            failure = error
            raise failure

        build.real = name in INPUTS and INPUTS[name].real
        build.whole = functools.partial(build, depths=(None,))
        yield name, build, inputs
