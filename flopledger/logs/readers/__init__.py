"""The readers, most specific first: the first that recognises a file reads it."""

from flopledger.logs.reader import Reader
from flopledger.logs.readers import (
    hf_trainer,
    mlperf,
    mlperf_system,
    model_card,
    model_files,
)

READERS: tuple[Reader, ...] = (
    mlperf.READER,
    mlperf_system.READER,
    hf_trainer.STATE,
    hf_trainer.RESULTS,
    model_files.ADAPTER,
    model_files.CONFIG,
    model_card.READER,
)
