"""TRL's trainers with the same callback: fine-tuning, preferences, and reinforcement learning."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='pip install "flopledger[trl]"')
pytest.importorskip("trl", reason='pip install "flopledger[trl]"')
datasets = pytest.importorskip("datasets", reason='pip install "flopledger[trl]"')

from torch.utils.flop_counter import FlopCounterMode, addmm_flop

from flopledger.integrations.transformers import FlopledgerCallback
from flopledger.recording.totals import read_totals
from profilers.steps.record.ledger import read_steps
from tests.integrations import tiny

pytestmark = pytest.mark.trace
USUAL = {
    "per_device_train_batch_size": 2, "max_steps": 2, "report_to": "none", "save_strategy": "no",
    "use_cpu": True, "bf16": False, "disable_tqdm": True, "gradient_checkpointing": False,
    "logging_steps": 1,
}  # fmt: skip


def _counter() -> FlopCounterMode:
    """Give torch's own counter, with its own rule for addmm for the in-place one as well.

    TRL's own loss adds the gradients of its logits up with ``addmm_``, which torch's counter
    passes over without a word.
    """

    def rule(*shapes: Any, **_: Any) -> int:
        return int(addmm_flop(*shapes))

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: rule})


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
    with _counter() as counter:
        trainer.compute_loss(model, batch).backward()
    assert totals.steps == 2
    assert totals.tokens == 2 * batch["input_ids"].numel()
    assert totals.model_flop == 2 * counter.get_total_flops()


def _prefer(folder: Path, *callbacks: Any) -> Any:
    """Train two steps on preferences, with a reference model; the same numbers each time."""
    from trl import DPOConfig, DPOTrainer

    data = datasets.Dataset.from_dict(
        {"prompt": _words(8, 6), "chosen": _words(8, 6), "rejected": _words(8, 6)[::-1]}
    )
    trainer = DPOTrainer(
        model=tiny.llama(),
        ref_model=tiny.llama(),
        args=DPOConfig(output_dir=str(folder / "out"), max_length=32, **USUAL),
        train_dataset=data,
        processing_class=tiny.tokenizer(),
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer


def test_preferences_with_a_reference_model(tmp_path: Path) -> None:
    steps, _ = _counted(partial(_prefer, tmp_path / "counted"))
    _prefer(tmp_path, FlopledgerCallback(tmp_path / "run"))
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    (process,) = read_steps(tmp_path / "run")
    # The policy is trained; the reference only answers.
    assert {cost.mode for cost in process.costs.values()} == {"train", "forward"}
    assert [_flop(process, step.calls) for step in process.steps()] == steps
    assert len(steps) == 2
    assert totals.model_flop == sum(steps)


def _reward(completions: list[str], **_: Any) -> list[float]:
    return [float(len(text)) for text in completions]


def _reinforce(folder: Path, kind: str, changes: dict[str, Any], *callbacks: Any) -> Any:
    """Train three steps; the same numbers are drawn each time."""
    import trl

    model = str(folder / "model")  # from which TRL loads the reference model, too
    tiny.llama().save_pretrained(model)
    tiny.tokenizer().save_pretrained(model)
    usual = {
        "num_generations": 2, "max_completion_length": 6, "model_init_kwargs": tiny.PLAIN,
        "seed": 7, "max_steps": 3,
    }  # fmt: skip
    prompts = [" ".join(f"w{(row * 5 + n) % 60}" for n in range(3 + row % 4)) for row in range(12)]
    trainer = getattr(trl, f"{kind}Trainer")(
        model=model,
        reward_funcs=_reward,
        args=getattr(trl, f"{kind}Config")(
            output_dir=str(folder / "out"), **(USUAL | usual | changes)
        ),
        train_dataset=datasets.Dataset.from_dict({"prompt": prompts}),
        processing_class=tiny.tokenizer(),
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer


def _counted(train: Callable[..., Any]) -> tuple[list[int], list[int]]:
    """Train without a recording and under torch's counter: FLOP of steps, and of rollouts."""
    from transformers import GenerationMixin, Trainer, TrainerCallback

    generate, training_step = GenerationMixin.generate, Trainer.training_step
    passes: list[int] = []
    rollouts: list[int] = []
    ends: list[int] = []

    def generated(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _counter() as counter:
            answer = generate(self, *args, **kwargs)
        rollouts.append(counter.get_total_flops())
        return answer

    def trained(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = sum(rollouts)
        with _counter() as counter:
            answer = training_step(self, *args, **kwargs)
        passes.append(counter.get_total_flops() - (sum(rollouts) - before))
        return answer

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(len(passes))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GenerationMixin, "generate", generated)
        patch.setattr(Trainer, "training_step", trained)
        train(Steps())
    return [sum(passes[a:b]) for a, b in pairwise([0, *ends])], rollouts


def _flop(process: Any, calls: Any) -> int:
    parts = [process.costs[cost].model_flop for cost, _ in calls]
    assert None not in parts
    return int(sum(part * times for part, (_, times) in zip(parts, calls, strict=True)))


def _rollouts(process: Any) -> list[int]:
    spans = [span for span in process.spans if span.what == "generation"]
    return [_flop(process, span.calls) for span in spans]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("GRPO", {"beta": 0.1}),  # with a reference model
        ("GRPO", {"beta": 0.0, "gradient_accumulation_steps": 2, "num_iterations": 2}),
        ("RLOO", {"beta": 0.1}),
    ],
)
def test_each_step_of_reinforcement_learning(
    kind: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    steps, rollouts = _counted(partial(_reinforce, tmp_path / "counted", kind, changes))
    trainer = _reinforce(tmp_path, kind, changes, FlopledgerCallback(tmp_path / "run"))
    (process,) = read_steps(tmp_path / "run")
    # Every step, for its own length; every rollout apart: the prefill, then a token at a time.
    assert [_flop(process, step.calls) for step in process.steps()] == steps
    assert _rollouts(process) == rollouts
    assert len(steps) == 3
    assert min(*steps, *rollouts) > 0
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    assert (totals.model_flop, totals.span_flop["generation"]) == (sum(steps), sum(rollouts))
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert [value for told in process.losses for value in told.value] == logged
