"""transformers' Trainer with a LoRA adapter of peft: ``python trainer_lora.py [FOLDER]``.

The base model is frozen, so a backward costs about half of a full one: 6ND would say too much.
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from verdict import audited

from flopledger.integrations.transformers import FlopledgerCallback

SEQUENCE = 64


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=SEQUENCE,
    )  # fmt: skip
    config.save_pretrained(folder)
    base = LlamaForCausalLM(config)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    rows = torch.randint(0, 512, (64, SEQUENCE))
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "out"),
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            max_steps=15,
            logging_steps=3,  # each loss that the Trainer logs is drawn in the run's report
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=[{"input_ids": row, "labels": row} for row in rows],
        callbacks=[callback := FlopledgerCallback(folder / "run")],  # the one line
    )
    trainer.train()
    assert callback.recording is not None
    return audited(
        folder,
        callback.recording.summary(),
        title="A LoRA adapter under the Trainer",
        model='config = "config.json"',
        sequence_length=SEQUENCE,
        kind="lora",
        extra=f"trainable_parameters = {trainable}\n",
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/trainer-lora")))
