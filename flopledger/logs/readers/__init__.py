"""The readers, most specific first: the first that recognises a file reads it."""

from flopledger.logs.reader import Reader
from flopledger.logs.readers import (
    hf_trainer,
    megatron,
    mlperf,
    mlperf_system,
    modded_nanogpt,
    model_card,
    model_files,
    nanogpt,
    torchtitan,
)

READERS: tuple[Reader, ...] = (
    mlperf.READER,
    mlperf_system.READER,
    modded_nanogpt.READER,
    torchtitan.READER,
    megatron.READER,
    nanogpt.GPT,
    nanogpt.CHAT,
    hf_trainer.STATE,
    hf_trainer.RESULTS,
    model_files.ADAPTER,
    model_files.CONFIG,
    model_card.READER,
)
