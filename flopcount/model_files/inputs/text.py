"""Makers of text: token ids, masks over them, boxes on a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flopcount.model_files.inputs.plain import Plain

TOKEN_KEYS = ("image_token_id", "image_token_index", "media_placeholder_token_id")


class Text(Plain):
    """What a model reads as tokens; shapes stand as (batch, ...)."""

    def text(self) -> Any:
        """Token ids (batch, tokens), with the codebooks where the layers read several at once."""
        config, batch = self.model.config, self.sizes.batch
        books = vars(config).get("num_codebooks")
        family = str(getattr(config, "model_type", ""))
        if isinstance(books, int) and family.startswith("musicgen"):
            return self.whole(batch * books, self.text_length())
        if isinstance(books, int) and family == "kyutai_speech_to_text":  # and the text itself
            return self.whole(batch, self.text_length(), books + 1)
        if family == "dia_decoder":
            return self.whole(batch, self.text_length(), config.num_channels)
        return self.whole(batch, self.text_length())

    def text_only(self) -> Any:
        """Token ids of a model whose one input may be anything: text if it has a vocabulary."""
        if not getattr(self.model.config, "vocab_size", None):
            raise self.sizes.unknown("inputs", "what the model reads")
        return self.text()

    def text_length(self) -> int:
        """Return the tokens a sample; the tower's own length where it was trained padded to it."""
        fixed = self.sizes.number("max_position_embeddings", parts=("text_config",))
        if not is_dual_tower(self.model) or fixed is None or fixed > 256:
            return self.sizes.tokens()
        length = self.sizes.length()
        if length is None or length > fixed:
            self.sizes.own_length = fixed
            self.sizes.notes.append(f"the text tower reads {fixed} tokens a sample, its own length")
            return fixed
        return length

    def decoder_text(self) -> Any:
        """Token ids of the decoder (batch, tokens), one row a codebook where there are several."""
        length = self.sizes.decoder_sequence
        length = self.sizes.tokens() if length is None else length
        books = self.sizes.number("num_codebooks", "num_channels", parts=("decoder_config",))
        if books is not None and getattr(self.model.config, "model_type", "") == "dia":
            return self.whole(self.sizes.batch, length, books)
        return self.whole(self.sizes.batch, length)

    def text_mask(self) -> Any:
        """Mask over the tokens, or over the frames where the main input has frames."""
        found = self._done.get("input_features", self._done.get("input_values"))
        if found is not None:
            return self.ones(self.sizes.batch, found.shape[-1])
        return self.ones(self.sizes.batch, self.text_length())

    def image_places(self) -> Any:
        """Which tokens are an image's: as many as the model has queries for one."""
        queries = self.sizes.number("latent_query_num")
        length = self.text_length()
        if queries is None or queries >= length:
            raise self.sizes.unknown("sequence", f"more than the {queries} tokens of an image")
        return self.known([[1] * queries + [0] * (length - queries)] * self.sizes.batch)

    def boxes(self) -> Any:
        """Boxes of the tokens on the page (batch, tokens, 4)."""
        return self.whole(self.sizes.batch, self.sizes.tokens(), 4)

    def task(self) -> Any:
        """Token ids of the words that name a task, padded to their fixed length."""
        return self.whole(self.sizes.batch, self.stated("task_seq_len"))


def is_dual_tower(model: Any) -> bool:
    """Contrastive pairs (CLIP, CLAP) read both, other models of two towers run on text alone."""
    config = model.config
    towers = ("vision_config", "audio_config", "video_config")
    both = any(getattr(config, part, None) is not None for part in towers)
    if any(isinstance(getattr(config, key, None), int) for key in TOKEN_KEYS):
        return False  # an image stands between the words instead
    return both and hasattr(config, "text_config") and not model.can_generate()


TEXT: dict[str, Callable[[Text], Any]] = {
    "input_ids": Text.text,
    "qformer_input_ids": Text.text,
    "audio_input_ids": Text.text,
    "timesteps": Text.text,
    "inputs": Text.text_only,
    "decoder_input_ids": Text.decoder_text,
    "attention_mask": Text.text_mask,
    "image_attention_mask": lambda m: m.ones(m.sizes.batch, m.text_length(), 1),
    "image_embeds_position_mask": Text.image_places,
    "mm_token_type_ids": lambda m: m.known([[0] * m.text_length()] * m.sizes.batch),
    "token_type_ids": lambda m: m.known([[0] * m.text_length()] * m.sizes.batch),
    "bbox": Text.boxes,
    "task_inputs": Text.task,
}
