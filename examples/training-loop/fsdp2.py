"""FSDP2 on two CPU processes: ``torchrun --nproc-per-node 2 fsdp2.py [FOLDER]``.

Each rank holds half of every weight and records its own steps; the whole model is counted once.
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM
from verdict import audited

import flopledger

SEQUENCE, STEPS, BATCH = 64, 10, 4


def main(folder: Path) -> int:
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=SEQUENCE,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    torch.manual_seed(rank)  # each rank has data of its own
    with flopledger.record(folder / "run", model=model) as run:  # the one line, on every rank
        for _ in range(STEPS):
            ids = torch.randint(0, 512, (BATCH, SEQUENCE))
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    dist.barrier()  # every rank has sealed its ledger
    dist.destroy_process_group()
    if rank:
        return 0
    config.save_pretrained(folder)
    return audited(
        folder,
        run.summary(),
        title=f"FSDP2 on {world} ranks",
        model='config = "config.json"',
        sequence_length=SEQUENCE,
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/fsdp2")))
