"""Lightning's Trainer with validation inside: ``python lightning_fit.py [FOLDER]``."""

import sys
from pathlib import Path

import lightning
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from verdict import audited

from flopledger.integrations.lightning import FlopledgerCallback

SEQUENCE = 64


class Model(lightning.LightningModule):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.inner = LlamaForCausalLM(config)

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        return self.inner(input_ids=batch[0], labels=batch[0]).loss

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        self.inner(input_ids=batch[0], labels=batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=SEQUENCE,
    )  # fmt: skip
    config.save_pretrained(folder)
    data = torch.utils.data.TensorDataset(torch.randint(0, 512, (128, SEQUENCE)))
    callback = FlopledgerCallback(folder / "run")  # the one line
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(
        Model(config),
        torch.utils.data.DataLoader(data, batch_size=8),
        torch.utils.data.DataLoader(torch.utils.data.Subset(data, range(16)), batch_size=8),
    )
    assert callback.recording is not None
    return audited(
        folder,
        callback.recording.summary(),
        title="Lightning with validation",
        model='config = "config.json"',
        sequence_length=SEQUENCE,
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/lightning")))
