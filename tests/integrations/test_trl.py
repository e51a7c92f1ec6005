"""TRL's trainers with the same callback: fine-tuning, preferences, and reinforcement learning."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='pip install "flopledger[trl]"')
pytest.importorskip("trl", reason='pip install "flopledger[trl]"')
datasets = pytest.importorskip("datasets", reason='pip install "flopledger[trl]"')

from torch.utils.flop_counter import FlopCounterMode

from flopledger.integrations.transformers import FlopledgerCallback
from flopledger.recording.totals import read_totals
from profilers.step_ledger import read_steps
from tests.integrations import tiny

pytestmark = pytest.mark.trace
USUAL = {
    "per_device_train_batch_size": 2, "max_steps": 2, "report_to": "none", "save_strategy": "no",
    "use_cpu": True, "bf16": False, "disable_tqdm": True, "gradient_checkpointing": False,
    "logging_steps": 1,
}  # fmt: skip


def _words(count: int, length: int = 12) -> list[str]:
    return [" ".join(f"w{(row * 7 + n) % 60}" for n in range(length)) for row in range(count)]


def test_supervised_fine_tuning(tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    data = datasets.Dataset.from_dict({"text": _words(8)})
    model = tiny.llama()
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(output_dir=str(tmp_path / "out"), max_length=16, **USUAL),
        train_dataset=data,
        processing_class=tiny.tokenizer(),
        callbacks=[FlopledgerCallback(tmp_path / "run")],
    )
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.train()
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    # TRL's own loss makes logits only where there are labels (2 x 12 of 2 x 13 tokens), and makes
    # them again in its backward; both times by mm(out=), for which torch's counter has no rule.
    unseen = 2 * (2 * (2 * 12) * 32 * 64)
    with FlopCounterMode(display=False) as counter:
        trainer.compute_loss(model, batch).backward()
    assert totals.steps == 2
    assert totals.tokens == 2 * batch["input_ids"].numel()
    assert totals.model_flop == 2 * (counter.get_total_flops() + unseen)


def test_preferences_with_a_reference_model(tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    data = datasets.Dataset.from_dict(
        {"prompt": _words(8, 6), "chosen": _words(8, 6), "rejected": _words(8, 6)[::-1]}
    )
    trainer = DPOTrainer(
        model=tiny.llama(),
        ref_model=tiny.llama(),
        args=DPOConfig(output_dir=str(tmp_path / "out"), max_length=32, **USUAL),
        train_dataset=data,
        processing_class=tiny.tokenizer(),
        callbacks=[FlopledgerCallback(tmp_path / "run")],
    )
    trainer.train()
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    (process,) = read_steps(tmp_path / "run")
    modes = {cost.mode for cost in process.costs.values()}
    # The policy is trained; the reference only answers.
    assert modes == {"train", "forward"}
    assert totals.steps == 2
    # Both see the same batch: forward twice, backward (two forwards' worth) once.
    forward, backward = totals.phases["forward"], totals.phases["backward"]
    assert totals.model_flop == forward + backward
    assert backward == pytest.approx(forward, rel=0.15)


def test_rollouts_are_counted_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import GenerationMixin
    from trl import GRPOConfig, GRPOTrainer

    generate, seen = GenerationMixin.generate, []

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            answer = generate(self, *args, **kwargs)
        seen.append(counter.get_total_flops())
        return answer

    monkeypatch.setattr(GenerationMixin, "generate", counted)

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [float(len(text)) for text in completions]

    folder = str(tmp_path / "model")  # from which TRL loads the reference model, too
    tiny.llama().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    trainer = GRPOTrainer(
        model=folder,
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=str(tmp_path / "out"),
            num_generations=2,
            max_completion_length=4,
            beta=0.1,  # with a reference model
            use_vllm=False,
            model_init_kwargs=tiny.PLAIN,
            **USUAL,
        ),
        train_dataset=datasets.Dataset.from_dict({"prompt": _words(8, 6)}),
        processing_class=tiny.tokenizer(),
        callbacks=[FlopledgerCallback(tmp_path / "run")],
    )
    trainer.train()
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    (process,) = read_steps(tmp_path / "run")
    assert totals.steps == 2
    assert [span.what for span in process.spans].count("generation") == 2
    # Prefill and every token after it, whose cache is one longer each time.
    assert len(seen) == 2
    assert totals.span_flop["generation"] == sum(seen) > 0
    assert totals.model_flop is not None
    assert totals.model_flop == totals.phases["forward"] + totals.phases["backward"]
