"""How long the largest models take, each in a process of its own, beside torch's counter."""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import flopcount
from benchmarks.counts.page import write

SCRIPT = Path(__file__).resolve().parents[1] / "counting.py"


def speed_models():
    """The two models of the speed target, with their batch and sequence."""
    transformers = importlib.import_module("transformers")
    llama = transformers.LlamaConfig(
        hidden_size=16384,
        intermediate_size=53248,
        num_hidden_layers=126,
        num_attention_heads=128,
        num_key_value_heads=8,
        vocab_size=128256,
        max_position_embeddings=131072,
    )
    return {
        "Llama-3.1-405B, 1 x 8192": (llama, 8192),
        "DeepSeek-V3, 1 x 2048": (transformers.DeepseekV3Config(), 2048),
    }


def one_speed(name):
    """In a process of its own: interleaved times of both counters, then the peak memory."""
    config, sequence = speed_models()[name]
    auto = importlib.import_module("transformers").AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config, dtype=torch.bfloat16)
    ids = torch.zeros(1, sequence, dtype=torch.long, device="meta")
    ours, theirs = [], []
    peak = 0
    for _ in range(3):
        started = time.perf_counter()
        count = flopcount.count(model, ids, labels=ids)
        ours.append(time.perf_counter() - started)
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        started = time.perf_counter()
        with FlopCounterMode(display=False) as counter:
            model(ids, labels=ids).loss.backward()
        theirs.append(time.perf_counter() - started)
        model.zero_grad()
    answer = [min(ours), min(theirs), peak, count.total, counter.get_total_flops()]
    print(json.dumps(answer))


def run_speed(options):
    """Both models, each in a process of its own."""
    if options.only:
        one_speed(options.only)
        return
    rows = [
        "| model | ours, s | torch's counter, s | ratio | peak MB | our FLOP | torch's FLOP |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in speed_models():
        command = [sys.executable, str(SCRIPT), "speed", "--only", name]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        ours, theirs, peak, total, charged = json.loads(out.splitlines()[-1])
        rows.append(
            f"| {name} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.3f} | {peak} | "
            f"{total:,} | {charged:,} |"
        )
    write("speed", "Forward and backward, best of three, interleaved.\n\n" + "\n".join(rows))
