"""Stated inputs of families of transformers."""

from __future__ import annotations

import importlib
import json

import torch

from benchmarks.counts.stated_inputs import Stated
from benchmarks.counts.stated_parts import INPUTS as IN_PARTS

SPOKEN = "in training it compares with a recording: every word's duration, pitch and energy"
SPEECH = {
    "duration_labels": json.dumps([[2] * 16]),
    "pitch_labels": json.dumps([[[0.0]] * 16]),
    "energy_labels": json.dumps([[[0.0]] * 16]),
    "spectrogram_labels": json.dumps([[[0.0] * 80] * 32]),
}
OTHER_PART = "rows that another part of the model hands on"
"""A tower's own configuration does not state what comes to it from elsewhere."""

FEW_POINTS = "a small picture: it finds points in it and works on those, with real numbers"
BEST_BOXES = "a small picture: it goes on with what it found best in it, with real numbers"
ENDS = "it writes a table's structure until it writes its end"
SEEN = f"{OTHER_PART}: one level of 72 by 72 cells and 32 words"
DETR = {
    "vision_features": "1x5184x256",
    "text_features": "1x32x256",
    "vision_pos_encoding": "1x5184x256",
    "spatial_shapes": "[[72, 72]]",
}


def meta(*shape, dtype=torch.bfloat16):
    """A tensor without storage."""
    return torch.zeros(*shape, dtype=dtype, device="meta")


def detr_features(_model):
    """Features and places of the cells, in lists by level, and the words' features."""
    cells = [meta(1, 256, 72, 72)]
    return {
        "vision_features": cells,
        "vision_pos_embeds": [meta(1, 256, 72, 72)],
        "text_features": meta(1, 32, 256),
    }


def mask_features(_model):
    """Queries of objects, the tower's three levels, the encoder's cells and the words' features."""
    return {
        "decoder_queries": meta(1, 200, 256),
        "backbone_features": [meta(1, 256, side, side) for side in (288, 144, 72)],
        "encoder_hidden_states": meta(1, 5184, 256),
        "prompt_features": meta(1, 32, 256),
    }


def bytes_of(model):
    """64 bytes, embedded: the local parts of BLT get them so."""
    return {"inputs_embeds": meta(1, 64, model.config.hidden_size)}


class Tracked(torch.nn.Module):
    """A tracker of objects with a session of its own in every pass, on the video's device."""

    def __init__(self, model):
        super().__init__()
        model.set_attn_implementation("sdpa")
        self.model = model.eval()  # in training it hands on nothing to the next frame
        self.config = model.config

    def forward(self, video):
        """Track one object, pointed at in the first frame, through all frames."""
        place = importlib.import_module(type(self.model).__module__)
        kind = getattr(place, type(self.model).__name__.replace("Model", "InferenceSession"))
        device, (height, width) = video.device, video.shape[-2:]
        session = kind(
            video=video,
            video_height=height,
            video_width=width,
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=video.dtype,
        )
        point = {
            "point_coords": torch.ones(1, 1, 1, 2, device=device, dtype=video.dtype),
            "point_labels": torch.ones(1, 1, 1, device=device, dtype=torch.int32),
        }
        session.add_point_inputs(session.obj_id_to_idx(1), 0, point)
        session.obj_with_new_inputs = [1]
        return [self.model(session, frame_idx=index).pred_masks for index in range(len(video))]


def two_frames(model):
    """A video of two frames of the size that the model's tower reads."""
    side = getattr(model.config.vision_config, "image_size", None) or model.config.image_size
    side = side if isinstance(side, int) else side[0]
    return {"video": meta(2, 3, side, side)}


INPUTS = {
    **IN_PARTS,
    "blip_2_qformer": Stated(
        why=f"{OTHER_PART}: 32 queries beside a ViT-g's 257 patches, as in BLIP-2",
        given={"query_embeds": "1x32x768", "encoder_hidden_states": "1x257x1408"},
    ),
    "granite_speech5_ctc": Stated(
        why="four frames of the spectrogram are stacked to a row, which only the processor knows",
        given={"input_features": "1x256x320"},
    ),
    "granite_speech5_encoder": Stated(
        why="four frames of the spectrogram are stacked to a row, which only the processor knows",
        given={"input_features": "1x256x320"},
    ),
    "gemma4_audio": Stated(
        why="128 bins of the spectrogram, which only the processor knows",
        given={
            "input_features": "1x512x128",
            "attention_mask": json.dumps([[True] * 512]),
        },
    ),
    "inkling2_vision": Stated(
        why="cells of merged patches with the colours last, as its processor makes them",
        given={"pixel_values": "64x40x40x3", "image_grid_thw": "[[1, 8, 8]]"},
    ),
    "inkling_vision": Stated(
        why="patches of two frames with the colours last, as its processor makes them",
        given={"pixel_values": "64x2x40x40x3"},
    ),
    "jev": Stated(
        why="which tokens close a question and how many options each question has",
        given={
            "marks": "[[16, 32, 48]]",
            "num_options": "[[2, 6, 4]]",
            "question_type_ids": "[[0, 1, 2]]",
        },
    ),
    "lxmert": Stated(
        why=f"{OTHER_PART}: 36 regions from a detector",
        given={"visual_feats": "1x36x2048", "visual_pos": "1x36x4"},
    ),
    "muse_glimmer_assistant": Stated(
        why=f"{OTHER_PART}: a block of 16 guesses after 64 tokens, five layers of the main model",
        given={"noise_embeds": "1x16x6656", "context_hidden_states": "1x64x33280"},
    ),
    "omdet-turbo": Stated(
        why="the words of eight classes and of the task, which another modality's user chooses",
        given={
            "classes_input_ids": json.dumps([[row] * 77 for row in range(8)]),
            "classes_attention_mask": json.dumps([[1] * 77] * 8),
            "tasks_input_ids": json.dumps([[9] * 77]),
            "tasks_attention_mask": json.dumps([[1] * 77]),
            "classes_structure": "[8]",
        },
    ),
    "pi0": Stated(
        why="how many cameras there are and the tokens between which their images stand",
        given={
            "noise": "1x50x32",
            "timestep": "1",
            "input_ids": json.dumps([[257152] * 256 + [5] * 48]),
            "pixel_values": "1x1x3x224x224",
            "pixel_attention_mask": "[[true]]",
            "attention_mask": json.dumps([[1] * 304]),
        },
    ),
    "voxtral_realtime": Stated(
        why="frames of sound for every token", sizes={"audio_frames": 512, "sequence": 64}
    ),
    "speech-encoder-decoder": Stated(
        why="its one input is sound or features, whichever the encoder reads",
        given={"inputs": "1x15360"},
        sizes={"decoder_sequence": 16},
    ),
    "pe_video": Stated(why="the frames of a video", sizes={"frames": 4, "image": (336, 336)}),
    "pe_video_encoder": Stated(
        why="the frames of a video", sizes={"frames": 4, "image": (336, 336)}
    ),
    "pe_audio": Stated(
        why="the tower reads sound of one channel", given={"input_values": "1x1x38400"}
    ),
    "pe_audio_video": Stated(
        why="three inputs, of which two are enough to run it",
        given={"input_values": "1x1x38400", "pixel_values_videos": "1x20x3x336x336"},
    ),
    "pe_audio_video_encoder": Stated(
        why="sound and the frames that were seen beside it",
        given={"input_values": "1x1x38400", "pixel_values_videos": "1x20x3x336x336"},
    ),
    "mimi_decoder": Stated(
        why=f"{OTHER_PART}: frames of the quantiser", given={"latents": "1x512x16"}
    ),
    "pocket_tts_audio_tokenizer_decoder": Stated(
        why=f"{OTHER_PART}: frames of the quantiser", given={"latents": "1x512x16"}
    ),
    "vibevoice_acoustic_tokenizer_decoder": Stated(
        why=f"{OTHER_PART}: frames of the encoder", given={"hidden_states": "1x64x4"}
    ),
    "vibevoice_acoustic_tokenizer_encoder": Stated(
        why="sound under the name of hidden states", given={"hidden_states": "1x1x12800"}
    ),
    "fastspeech2_conformer": Stated(why=SPOKEN, given=SPEECH, sizes={"sequence": 16}),
    "fastspeech2_conformer_with_hifigan": Stated(why=SPOKEN, given=SPEECH, sizes={"sequence": 16}),
    "fastspeech2_conformer_hifigan": Stated(
        why=f"{OTHER_PART}: a spectrogram by frames", given={"spectrogram": "1x64x80"}
    ),
    "speecht5_hifigan": Stated(
        why=f"{OTHER_PART}: a spectrogram by frames", given={"spectrogram": "1x64x80"}
    ),
    "glm_image": Stated(
        why="places of the picture's tokens, which are none in a text alone",
        given={"position_ids": "3x1x64:long"},
    ),
    "glm_image_vision": Stated(
        why="a smaller picture than 2048 pixels", sizes={"image": (256, 256)}
    ),
    "xcodec2": Stated(
        why="the same second of sound twice: samples of one channel, features of 320 samples each",
        given={"input_values": "1x1x6400", "input_features": "1x20x160"},
    ),
    "dots3_note_audio_encoder": Stated(
        why="how long each piece of sound is before it was padded",
        given={"input_features": "1x128x256", "chunk_sample_lengths": "[40960]"},
    ),
    "mllama_vision_model": Stated(
        why="tiles of a picture and which of them are no padding",
        given={
            "pixel_values": "1x1x4x3x448x448",
            "aspect_ratio_ids": "[[6]]",
            "aspect_ratio_mask": "[[[1, 1, 1, 1]]]",
        },
    ),
    "molmo2_adapter": Stated(
        why=f"{OTHER_PART}: 729 patches of two layers, pooled by fours",
        given={
            "image_features": "1x729x2304",
            "pooled_patches_idx": json.dumps([[4 * i + j for j in range(4)] for i in range(182)]),
        },
    ),
    "molmo2_vision": Stated(
        why="rows of patches, as its processor cuts them", given={"pixel_values": "1x729x588"}
    ),
    "idefics2_perceiver": Stated(
        why=f"{OTHER_PART}: 70 by 70 patches, all of them picture",
        given={"context": "1x4900x4096", "attention_mask": json.dumps([[1] * 4900])},
    ),
    "florence_vision": Stated(
        why="a picture under the name of hidden states", given={"hidden_states": "1x3x768x768"}
    ),
    "qwen2_5_omni_audio_encoder": Stated(
        why="frames of all recordings in one row, and how many each has",
        given={"input_features": "128x400", "feature_lens": "[400]", "aftercnn_lens": "[200]"},
    ),
    "qwen3_omni_moe_audio_encoder": Stated(
        why="frames of all recordings in one row, and how many each has",
        given={"input_features": "128x400", "feature_lens": "[400]"},
    ),
    "qwen2_5_omni_dit": Stated(
        why=f"{OTHER_PART}: codes, the speaker and a recording of the voice",
        given={
            "hidden_states": "1x64x80",
            "condition_vector": "1x100x80",
            "speaker_embedding": "1x64x192",
            "quantized_code": "1x32:long",
            "time_step": "1",
        },
    ),
    "qwen2_5_omni_bigvgan": Stated(
        why=f"{OTHER_PART}: a spectrogram by bins", given={"mel_spectrogram": "1x80x64"}
    ),
    "qwen2_5_omni_token2wav": Stated(
        why=f"{OTHER_PART}: codes, the speaker and a recording of the voice",
        given={"code": "1x32:long", "conditioning": "1x192", "reference_mel": "1x100x80"},
    ),
    "sam3_detr_decoder": Stated(why=SEEN, given=DETR),
    "sam3_lite_text_detr_decoder": Stated(why=SEEN, given=DETR),
    "sam3_detr_encoder": Stated(why=SEEN, made=detr_features),
    "sam3_lite_text_detr_encoder": Stated(why=SEEN, made=detr_features),
    "sam3_mask_decoder": Stated(why=SEEN, made=mask_features),
    "sam3_lite_text_mask_decoder": Stated(why=SEEN, made=mask_features),
    "unlimited_ocr_vision_encoder": Stated(
        why=f"{OTHER_PART}: patches of the tower before it", given={"patch_embeds": "1x1024x16x16"}
    ),
    "xclip_vision_model": Stated(
        why="a video's frames one after the other", given={"pixel_values": "8x3x224x224"}
    ),
    "rag": Stated(
        why="what a retriever found: five documents and their scores",
        given={
            "context_input_ids": "5x64:long",
            "context_attention_mask": json.dumps([[1] * 64] * 5),
            "doc_scores": "1x5",
        },
        sizes={"decoder_sequence": 16},
    ),
    "moshi_depth": Stated(
        why=f"{OTHER_PART}: one step of the main decoder and the codes of its codebooks",
        given={"input_ids": "64x8:long", "last_hidden_state": "64x1x4096"},
    ),
    "phi4_multimodal_audio": Stated(
        why="frames that are no padding",
        given={"hidden_states": "1x512x80", "mask": json.dumps([[True] * 512])},
    ),
    "qwen3_omni_moe_talker_code_predictor": Stated(
        why=f"{OTHER_PART}: the talker's state and the first code",
        given={"inputs_embeds": "1x2x1024"},
    ),
    "blt_local_encoder": Stated(
        why="which patch each byte belongs to, which an entropy model decides",
        made=lambda model: {
            **bytes_of(model),
            "patch_ids": torch.arange(64)[None] // 4,
            "num_patches": 16,
        },
    ),
    "blt_local_decoder": Stated(
        why=f"{OTHER_PART}: 16 patches of four bytes",
        made=lambda model: {**bytes_of(model), "patch_embeds": meta(1, 16, 2048)},
    ),
    "dia_decoder": Stated(
        why=f"{OTHER_PART}: the encoder's rows", given={"encoder_hidden_states": "1x32x1024"}
    ),
    "deepseek_ocr2_encoder": Stated(
        why=f"{OTHER_PART}: 256 patches and as many queries",
        made=lambda _: {"inputs_embeds": meta(1, 512, 4096), "num_patches": 256},
    ),
    "inkling_audio": Stated(
        why="codes of the spectrogram, 80 a frame", given={"audio_input_ids": "1x64x80:long"}
    ),
    "janus_vqgan": Stated(
        why="a picture of as many tokens as its decoder reads", sizes={"image": (512, 512)}
    ),
    "lw_detr_vit": Stated(
        why=f"{OTHER_PART}: embedded patches, a row for each of 16 windows",
        given={"hidden_states": "16x16x768"},
    ),
    **{
        name: Stated(
            why="a session that remembers frames: two of them, one object pointed at in the first",
            made=two_frames,
            around=Tracked,
        )
        for name in ("sam2_video", "sam3_tracker_video", "edgetam_video")
    },
    "superglue": Stated(why=FEW_POINTS, given={"pixel_values": "1x2x3x64x64"}, real=True),
    "lightglue": Stated(why=FEW_POINTS, given={"pixel_values": "1x2x3x64x64"}, real=True),
    "vits": Stated(
        why="eight tokens: it speaks as long as its random numbers say, sample by sample",
        sizes={"sequence": 8},
        real=True,
    ),
    **{
        name: Stated(why=BEST_BOXES, given={"pixel_values": "1x3x224x224"}, real=True)
        for name in (
            "d_fine",
            "deimv2",
            "rt_detr",
            "rt_detr_v2",
            "pp_doclayout_v2",
            "pp_doclayout_v4",
            "slanet",
        )
    },
    "slanext": Stated(why=ENDS, given={"pixel_values": "1x3x512x512"}, real=True),
    "autoformer": Stated(
        why="its delays are those of the series that is read", sizes={"sequence": 24}, real=True
    ),
    "blt": Stated(
        why="which patch each byte belongs to, which an entropy model decides", real=True
    ),
    **{
        name: Stated(why="which experts read which token", sizes={"sequence": 16}, real=True)
        for name in (
            "longcat_flash",
            "nllb-moe",
            "step3p5",
            "step3p7",
            "glm5_next",
            "glm5_next_text",
        )
    },
}
