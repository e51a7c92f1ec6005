"""Ways in which people use the Trainer, each against torch's own counter around every step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='pip install "flopledger[transformers]"')
pytest.importorskip("transformers", reason='pip install "flopledger[transformers]"')
pytest.importorskip("accelerate", reason='pip install "flopledger[transformers]"')

from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    DataCollatorForSeq2Seq,
    DataCollatorWithFlattening,
    Trainer,
    TrainingArguments,
)

from flopledger.integrations.transformers import FlopledgerCallback
from flopledger.recording.totals import read_totals
from tests.integrations import tiny

pytestmark = pytest.mark.trace
Made = tuple[Any, list[Any], dict[str, Any], dict[str, Any]]


def _lengths() -> list[dict[str, list[int]]]:
    """Make sequences of 5 to 24 tokens, no two batches alike."""
    sizes = [5 + 7 * n % 20 for n in range(24)]
    rows = [[3 + (n * size) % 60 for n in range(size)] for size in sizes]
    return [{"input_ids": r, "labels": r, "attention_mask": [1] * len(r)} for r in rows]


def _grouped() -> Made:
    collator = DataCollatorForSeq2Seq(tiny.tokenizer())
    grouped = {"train_sampling_strategy": "group_by_length", "gradient_accumulation_steps": 3}
    evaluated = {"eval_strategy": "steps", "eval_steps": 2}
    rest = {"data_collator": collator, "eval_dataset": _lengths()[:5]}
    return tiny.llama(), _lengths(), grouped | evaluated, rest


def _packed() -> Made:
    return tiny.llama(), _lengths(), {}, {"data_collator": DataCollatorWithFlattening()}


def _lora_with_checkpoints() -> Made:
    peft = pytest.importorskip("peft", reason='pip install "flopledger[transformers]" peft')
    model = peft.get_peft_model(
        tiny.llama(), peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_dropout=0.1)
    )
    saving = {"use_reentrant": False}
    arguments = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": saving}
    return model, tiny.text(24), arguments, {}


def _lower_precision() -> Made:
    """Accelerate switches autocast on inside the model's forward."""
    return tiny.llama(), tiny.text(24), {"bf16": True, "gradient_checkpointing": True}, {}


class _Counting(Trainer):  # type: ignore[misc]
    """Counts each pass with torch's counter."""

    train_flop = evaluation_flop = 0

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            loss = super().training_step(*args, **kwargs)
        self.train_flop += counter.get_total_flops()
        return loss

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            answer = super().prediction_step(*args, **kwargs)
        self.evaluation_flop += counter.get_total_flops()
        return answer


@pytest.mark.parametrize(
    "make", [_grouped, _packed, _lora_with_checkpoints, _lower_precision], ids=lambda f: f.__name__
)
def test_every_step(make: Callable[[], Made], tmp_path: Path) -> None:
    def train(kind: Any, *callbacks: Any) -> Any:
        torch.manual_seed(0)
        model, rows, arguments, rest = make()
        usual = {
            "per_device_train_batch_size": 2, "per_device_eval_batch_size": 2, "max_steps": 4,
            "report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True,
        }  # fmt: skip
        args = TrainingArguments(output_dir=str(tmp_path / "out"), **(usual | arguments))
        trainer = kind(
            model=model, args=args, train_dataset=rows, callbacks=list(callbacks), **rest
        )
        trainer.train()
        return trainer

    train(Trainer, FlopledgerCallback(tmp_path / "run"))
    counted = train(_Counting)
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    assert totals.steps == 4
    assert totals.hardware_flop == counted.train_flop
    assert totals.span_flop.get("evaluation", 0) == counted.evaluation_flop
    again = totals.phases["recompute"]
    assert totals.model_flop == counted.train_flop - again
    assert (again > 0) == counted.args.gradient_checkpointing
    dtype = "bf16" if counted.args.bf16 else "fp32"
    assert totals.hardware_by_dtype == {dtype: counted.train_flop}
