"""Configurations and inputs that the benchmark states for classes of diffusers.

``CONFIGS`` fills what a class's defaults leave open or contradict, as published configurations do.
``INPUTS`` states what no configuration tells: how many tokens another model hands on, where each
token of a mixed stream sits, what a cache holds. Shapes and positions are those that the library's
own pipelines make, at one small size.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.counts.stated_inputs import Stated

TEXT = 64
"""Tokens of a text."""
SIDE = 16
"""Patches along a side of a latent."""
FRAMES = 3
CONFIGS: dict[str, dict[str, Any]] = {
    "BriaFibo2Transformer2DModel": {"dim": 512, "n_heads": 4, "cap_feat_dim": 512},
    "DreamLiteTransformer2DModel": {"in_channels": 320, "cross_attention_dim": 768},
    "EasyAnimateTransformer3DModel": {"in_channels": 16, "out_channels": 16, "patch_size": 2},
    "HiDreamImageTransformer2DModel": {
        "in_channels": 16,
        "num_attention_heads": 4,
        "caption_channels": [512, 512],
        "text_emb_dim": 256,
        "patch_size": 2,
        "axes_dims_rope": [64, 32, 32],
        "llama_layers": [*range(8)],
    },
    "HunyuanDiT2DModel": {
        "in_channels": 4,
        "patch_size": 2,
        "hidden_size": 1408,
        "sample_size": 128,
    },
    "HunyuanVideo15Transformer3DModel": {"num_attention_heads": 4},
    "HunyuanVideoFramepackTransformer3DModel": {
        "has_image_proj": True,
        "has_clean_x_embedder": True,
        "num_attention_heads": 4,
    },
    "LatteTransformer3DModel": {
        "in_channels": 4,
        "out_channels": 8,
        "patch_size": 2,
        "num_layers": 28,
        "attention_head_dim": 72,
        "norm_type": "ada_norm_single",
        "num_embeds_ada_norm": 1000,
        "caption_channels": 4096,
        "cross_attention_dim": 1152,
        "norm_elementwise_affine": False,
    },
    "LuminaNextDiT2DModel": {"num_kv_heads": 8},
    "MochiTransformer3DModel": {"num_attention_heads": 4},
    "OmniGenTransformer2DModel": {
        "rope_scaling": {"type": "su", "short_factor": [1.0] * 48, "long_factor": [1.0] * 48}
    },
    "PixArtTransformer2DModel": {"caption_channels": 4096},
    "QwenImage21Transformer2DModel": {"num_attention_heads": 4},
    "Transformer2DModel": {"in_channels": 320, "cross_attention_dim": 768},
    "TransformerTemporalModel": {"in_channels": 320},
    "UNet1DModel": {"extra_in_channels": 64},
    "WanAnimateTransformer3DModel": {"inject_face_latents_blocks": 4},
    "WanAnimate2Transformer3DModel": {"dim": 512, "num_heads": 4, "ffn_dim": 1024},
}
"""As published; narrower by a whole number of heads where the second opinion needs real numbers
(Bria, HiDream, Hunyuan-Video 1.5, FramePack, Mochi, Qwen-Image 2.1, Wan-Animate 2), with as many texts and
insertions as four layers take."""


def noise(model: Any, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A tensor without storage, of the model's own dtype."""
    return torch.empty(shape, dtype=dtype or next(model.parameters()).dtype, device="meta")


def when(*shape: int) -> torch.Tensor:
    """Steps of the noise."""
    return torch.full(shape, 500, dtype=torch.long)


def patches(frames: int = 1, side: int = SIDE) -> torch.Tensor:
    """Frame, row and column of every patch (tokens, 3)."""
    axes = [torch.arange(length) for length in (frames, side, side)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def cosmos3(model: Any) -> dict[str, Any]:
    """Text first, then the patches of a latent of which every frame is noisy."""
    config, seen = model.config, FRAMES * SIDE * SIDE
    side = SIDE * config.latent_patch_size
    rows = torch.arange(TEXT, TEXT + seen)
    return {
        "input_ids": torch.zeros(TEXT, dtype=torch.long),
        "text_indexes": torch.arange(TEXT),
        "position_ids": torch.arange(TEXT + seen).expand(3, -1).contiguous(),
        "und_len": TEXT,
        "sequence_length": TEXT + seen,
        "vision_tokens": [noise(model, 1, config.latent_channel, FRAMES, side, side)],
        "vision_token_shapes": [(FRAMES, SIDE, SIDE)],
        "vision_sequence_indexes": rows,
        "vision_mse_loss_indexes": rows,
        "vision_timesteps": torch.full((seen,), 500.0),
        "vision_noisy_frame_indexes": [torch.arange(FRAMES)],
    }


def hunyuan_video_15(model: Any) -> dict[str, Any]:
    """From text alone: the pipeline hands on 729 image tokens, all zero."""
    config = model.config
    return {
        "hidden_states": noise(model, 1, config.in_channels, FRAMES, SIDE // 2, SIDE // 2),
        "timestep": torch.full((1,), 500.0, dtype=model.dtype),
        "encoder_hidden_states": noise(model, 1, TEXT, config.text_embed_dim),
        "encoder_attention_mask": torch.ones(1, TEXT, dtype=torch.long),
        "encoder_hidden_states_2": noise(model, 1, 2 * TEXT, config.text_embed_2_dim),
        "encoder_attention_mask_2": torch.ones(1, 2 * TEXT, dtype=torch.long),
        "image_embeds": torch.zeros(1, 729, config.image_embed_dim, dtype=model.dtype),
    }


def framepack(model: Any) -> dict[str, Any]:
    """Nine new frames, and history: two clean, two halved, sixteen quartered, as the pipeline cuts it."""
    config, side = model.config, SIDE // 2 * model.config.patch_size
    frames = {"clean": 2, "history_2x": 2, "history_4x": 16}
    after = torch.arange(1 + 16 + 2 + 1, 1 + 16 + 2 + 1 + 9)
    where = {"4x": torch.arange(1, 17), "2x": torch.arange(17, 19), "clean": torch.tensor([0, 19])}
    return {
        "hidden_states": noise(model, 1, config.in_channels, 9, side, side),
        "timestep": when(1),
        "encoder_hidden_states": noise(model, 1, TEXT, config.text_embed_dim),
        "encoder_attention_mask": torch.ones(1, TEXT, dtype=torch.long),
        "pooled_projections": noise(model, 1, config.pooled_projection_dim),
        "image_embeds": noise(model, 1, 729, config.image_proj_dim),
        "indices_latents": after,
        "guidance": noise(model, 1),
        **{
            f"latents_{kind}": noise(model, 1, config.in_channels, number, side, side)
            for kind, number in frames.items()
        },
        "indices_latents_clean": where["clean"],
        "indices_latents_history_2x": where["2x"],
        "indices_latents_history_4x": where["4x"],
    }


def joy_image_edit(model: Any) -> dict[str, Any]:
    """The image to be made and one to be edited, as patches in one row."""
    config, seen = model.config, SIDE * SIDE
    return {
        "hidden_states": noise(model, 1, 2 * seen, config.in_channels, *config.patch_size),
        "timestep": when(1),
        "encoder_hidden_states": noise(model, 1, TEXT, config.text_dim),
        "encoder_hidden_states_mask": torch.ones(1, TEXT, dtype=torch.long),
        "shape_list": [[(1, SIDE, SIDE), (1, SIDE, SIDE)]],
    }


def ltx2(model: Any) -> dict[str, Any]:
    """A film and its sound; each has its own text."""
    config, sound = model.config, 100
    text = config.caption_channels
    return {
        "hidden_states": noise(model, 1, FRAMES * SIDE * SIDE, config.in_channels),
        "audio_hidden_states": noise(model, 1, sound, config.audio_in_channels),
        "encoder_hidden_states": noise(model, 1, TEXT, text),
        "audio_encoder_hidden_states": noise(model, 1, TEXT, text),
        "timestep": when(1),
        "encoder_attention_mask": torch.ones(1, TEXT, dtype=torch.long),
        "audio_encoder_attention_mask": torch.ones(1, TEXT, dtype=torch.long),
        "num_frames": FRAMES,
        "height": SIDE,
        "width": SIDE,
        "audio_num_frames": sound,
    }


def sana_refiner(model: Any) -> dict[str, Any]:
    """One block of frames at the start of a film, positions as the model's own method makes them."""
    config, tokens = model.config, FRAMES * SIDE * SIDE
    with torch.device("cpu"):
        rotary = model.build_rotary_emb_for_absolute_positions(
            1, list(range(FRAMES)), SIDE, SIDE, torch.device("cpu"), 24.0
        )
    return {
        "hidden_states": noise(model, 1, tokens, config.in_channels),
        "encoder_hidden_states": noise(model, 1, TEXT, config.caption_channels),
        "timestep": torch.full((1, tokens), 500.0),
        "video_rotary_emb": rotary,
        "encoder_attention_mask": torch.ones(1, TEXT, dtype=torch.long),
    }


def lumina_next(model: Any) -> dict[str, Any]:
    """The rotary table of 384 x 384 patches that the pipeline makes, one half of a head wide."""
    config = model.config
    head = config.hidden_size // config.num_attention_heads
    return {
        "hidden_states": noise(model, 1, config.in_channels, 2 * SIDE, 2 * SIDE),
        "timestep": torch.full((1,), 0.5, dtype=model.dtype),
        "encoder_hidden_states": noise(model, 1, TEXT, config.cross_attention_dim),
        "encoder_mask": torch.ones(1, TEXT, dtype=torch.long),
        "image_rotary_emb": noise(model, 384, 384, head // 2, dtype=torch.complex64),
        "cross_attention_kwargs": {},
    }


def minimax_h3(model: Any) -> dict[str, Any]:
    """Text, film and sound in one row, each at its own places."""
    config, seen, sound = model.config, FRAMES * SIDE * SIDE, 50
    whole = TEXT + seen + sound
    wide = config.in_channels
    for step in config.patch_size:
        wide *= step
    kinds = torch.tensor([0] * TEXT + [1] * seen + [2] * sound)
    return {
        "hidden_states": noise(model, 1, seen, wide),
        "audio_hidden_states": noise(model, 1, sound, config.audio_in_channels),
        "encoder_hidden_states": noise(model, 1, TEXT, config.text_dim),
        "timestep": torch.tensor([0.0, 500.0]),
        "timestep_indices": (kinds > 0).long(),
        "token_tags": kinds,
        "position_ids": torch.arange(whole)[:, None].expand(-1, 3).contiguous(),
        "video_indices": torch.arange(TEXT, TEXT + seen),
        "audio_indices": torch.arange(TEXT + seen, whole),
        "text_indices": torch.arange(TEXT),
    }


def omnigen(model: Any) -> dict[str, Any]:
    """A text without input images; a row of text, time and image, the text causal."""
    config, seen = model.config, SIDE * SIDE
    side, whole = SIDE * config.patch_size, TEXT + 1 + SIDE * SIDE
    mask = torch.ones(1, whole, whole)
    mask[:, :TEXT] = torch.ones(TEXT, whole).tril()
    return {
        "hidden_states": noise(model, 1, config.in_channels, side, side),
        "timestep": torch.full((1,), 0.5, dtype=model.dtype),
        "input_ids": torch.zeros(1, TEXT, dtype=torch.long),
        "input_img_latents": [],
        "input_image_sizes": {},
        "attention_mask": mask,
        "position_ids": torch.arange(TEXT + 1 + seen)[None],
    }


def qwen_image_21(model: Any) -> dict[str, Any]:
    """No condition image; the vision-language row has a slot for every four tokens of the target."""
    config, seen = model.config, SIDE * SIDE
    slots = torch.tensor([[False] * TEXT + [True] * (seen // 4)])
    return {
        "hidden_states": noise(model, 1, seen, config.in_channels),
        "encoder_hidden_states": noise(model, 1, TEXT, config.context_in_dim),
        "timestep": torch.full((1,), 0.5, dtype=model.dtype),
        "img_shapes": [[(1, SIDE, SIDE)]],
        "img_mask": slots,
        "encoder_hidden_states_mask": torch.ones(1, TEXT, dtype=torch.bool),
    }


ATOMS = ("rasa-binned", "hbond", "pistack", "pication", "saltbridge", "hydrophobic", "metal-coord")


def proteina(model: Any) -> dict[str, Any]:
    """A chain of 48 residues with nothing given of its structure."""
    chain = 48
    atoms = {f"condition_{name}_1_atom": torch.zeros(1, chain, 37) for name in ATOMS}
    whole = torch.ones(1, chain, dtype=torch.long)
    return {
        "bb_ca": torch.randn(1, chain, 3, generator=torch.Generator().manual_seed(0)),
        "local_latents": torch.zeros(1, chain, model.config.latent_dim),
        "bb_ca_time": torch.full((1,), 0.5),
        "local_latents_time": torch.full((1,), 0.5),
        "padding_mask": whole.bool(),
        "token_type": 0 * whole,
        "atom37_mask": torch.ones(1, chain, 37, dtype=torch.bool),
        "conditioning": {
            "is_in_context_conditioning": 0 * whole,
            "supports_local_latent": whole,
            "molecule_iid": whole,
            "molecule_entity_id": whole,
            "condition_index-group_1_token": whole,
            "token_bond_path_length": torch.zeros(1, chain, chain, dtype=torch.long),
            **atoms,
        },
    }


def wan_animate(model: Any) -> dict[str, Any]:
    """The 257 tokens that CLIP's large encoder makes of the reference image; the rest by rules."""
    from flopcount.model_files.inputs.denoiser import Denoiser
    from flopcount.model_files.inputs.denoising import denoiser_inputs

    made = Denoiser(
        source="",
        name=type(model).__name__,
        model=model,
        config=model.config,
        latent=(2 * SIDE, 2 * SIDE),
        text_tokens=512,
        frames=FRAMES,
    )
    clip = noise(model, 1, 257, model.config.image_dim)
    return denoiser_inputs(made, {"encoder_hidden_states_image": clip})


def wan_animate_2(model: Any) -> dict[str, Any]:
    """The first of the two passes of a step: the reference's keys are written to the cache."""
    from diffusers.models.transformers import transformer_wan_animate_2

    config, side = model.config, 2 * SIDE
    wide = config.in_dim - config.out_dim
    return {
        "hidden_states": [noise(model, config.out_dim, FRAMES, side, side)],
        "timestep": torch.full((1,), 500.0, dtype=model.dtype),
        "encoder_hidden_states": [noise(model, TEXT, config.text_dim)],
        "condition_latents": [noise(model, wide, FRAMES, side, side)],
        "kv_cache": transformer_wan_animate_2.WanAnimate2KVCache(len(model.blocks)),
        "kv_cache_mode": "extract",
        "seq_len": FRAMES * SIDE * SIDE,
        "encoder_hidden_states_image": noise(model, 1, 257, 1280),
        "offset_grid_sizes": torch.tensor([[FRAMES, SIDE, SIDE]]),
    }


INPUTS: dict[str, Stated] = {
    "Cosmos3OmniTransformer": Stated(
        why="where each token of text and film sits in their common row", made=cosmos3
    ),
    "BriaFibo2Transformer2DModel": Stated(
        why="a small latent, for the second opinion runs on real numbers",
        sizes={"latent": (16, 16), "text_tokens": 16},
    ),
    "HiDreamImageTransformer2DModel": Stated(
        why="a small latent, for routing runs on real numbers",
        sizes={"latent": (16, 16), "text_tokens": 16},
    ),
    "HunyuanVideo15Transformer3DModel": Stated(
        why="729 image tokens, of another model; whether they are all zero is asked",
        made=hunyuan_video_15,
    ),
    "HunyuanVideoFramepackTransformer3DModel": Stated(
        why="how much history goes with the new frames", made=framepack
    ),
    "JoyImageEditPlusTransformer3DModel": Stated(
        why="how many images, and the sides of each", made=joy_image_edit
    ),
    "Kandinsky6SRTransformer3DModel": Stated(
        why="a small latent, for the second opinion runs on real numbers",
        sizes={"latent": (16, 16), "frames": 2},
    ),
    "LTX2VideoTransformer3DModel": Stated(why="how long the sound is", made=ltx2),
    "Lumina2Transformer2DModel": Stated(
        why="a small latent, for the second opinion runs on real numbers",
        sizes={"latent": (16, 16), "text_tokens": 16},
    ),
    "LuminaNextDiT2DModel": Stated(why="the rotary table is an input", made=lumina_next),
    "MiniMaxH3Transformer3DModel": Stated(
        why="where each token of text, film and sound sits in their common row", made=minimax_h3
    ),
    "MochiTransformer3DModel": Stated(
        why="a small latent, for the second opinion runs on real numbers",
        sizes={"latent": (16, 16), "frames": 2},
    ),
    "OmniGenTransformer2DModel": Stated(
        why="which tokens of the row are images, and what each may see", made=omnigen
    ),
    "QwenImage21Transformer2DModel": Stated(
        why="which tokens of the row are images", made=qwen_image_21
    ),
    "RFD4ProteinaTransformer": Stated(
        why="the length of a chain, and what is known of each residue", made=proteina
    ),
    "SanaWMLTX2RefinerTransformer3DModel": Stated(
        why="which frames of the film the block is", made=sana_refiner
    ),
    "WanAnimateTransformer3DModel": Stated(
        why="257 image tokens, of another model", made=wan_animate
    ),
    "WanAnimate2Transformer3DModel": Stated(
        why="a cache between two passes; which of them it is", made=wan_animate_2
    ),
}
