"""The callback in transformers' real Trainer, against torch's own counter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='pip install "flopledger[transformers]"')
pytest.importorskip("transformers", reason='pip install "flopledger[transformers]"')
pytest.importorskip("accelerate", reason='pip install "flopledger[transformers]"')

from torch.utils.flop_counter import FlopCounterMode
from transformers import Trainer, TrainingArguments

from flopledger.integrations import sinks
from flopledger.integrations.transformers import FlopledgerCallback
from flopledger.recording.totals import read_totals
from profilers.steps.record.ledger import read_steps
from tests.integrations import tiny

pytestmark = pytest.mark.trace


def _arguments(folder: Path, **changes: Any) -> TrainingArguments:
    usual = {
        "per_device_train_batch_size": 2, "max_steps": 4, "logging_steps": 2, "report_to": "none",
        "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "seed": 0,
    }  # fmt: skip
    return TrainingArguments(output_dir=str(folder / "out"), **(usual | changes))


def _counted(model: Any, batch: dict[str, Any], *, backward: bool = True) -> int:
    """Count one call with torch's own counter, which shares no code with ours."""
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        loss = model(**batch).loss
        if backward:
            loss.backward()
    model.zero_grad()
    return int(counter.get_total_flops())


def _batch(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: torch.stack([torch.as_tensor(row[key]) for row in rows]) for key in rows[0]}


def test_accumulation_evaluation_and_saving(tmp_path: Path) -> None:
    model, rows = tiny.llama(), tiny.text(24)
    callback = FlopledgerCallback(tmp_path / "run")
    trainer = Trainer(
        model=model,
        args=_arguments(
            tmp_path,
            gradient_accumulation_steps=3,
            eval_strategy="steps",
            eval_steps=2,
            save_strategy="steps",
            save_steps=2,
            per_device_eval_batch_size=2,
        ),
        train_dataset=rows,
        eval_dataset=rows[:4],
        callbacks=[callback],
    )
    trainer.train()
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    # 4 optimizer steps of 3 passes of 2 sequences of 16 tokens
    assert totals.steps == 4
    assert totals.tokens == 4 * 3 * 2 * 16
    assert totals.model_flop == 4 * 3 * _counted(model, _batch(rows[:2]))
    # 2 evaluations of 4 sequences, 2 at a time
    forward = _counted(model, _batch(rows[:2]), backward=False)
    assert totals.span_flop["evaluation"] == 2 * 2 * forward
    (process,) = read_steps(tmp_path / "run")
    assert process.sealed == "finished"
    assert [span.what for span in process.spans].count("checkpoint") == 2
    (claim,) = [note for note in process.notes if note.code == "stated-total-flos"]
    assert f"total_flos = {int(trainer.state.total_flos)} " in claim.message
    # The loss that the Trainer logged after steps 2 and 4; not the evaluation's, nor the mean at the end.
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert [value for told in process.losses for value in told.value] == logged
    assert len(logged) == 2
    # 6 x parameters without the input table x tokens: another rule, so another number
    assert int(trainer.state.total_flos) != totals.model_flop


def test_a_resumed_training_continues_its_total(tmp_path: Path) -> None:
    rows = tiny.text(24)
    flop = _counted(tiny.llama(), _batch(rows[:2]))

    def train(steps: int, resume: str | None = None) -> None:
        Trainer(
            model=tiny.llama(),
            args=_arguments(tmp_path, max_steps=steps, save_strategy="steps", save_steps=2),
            train_dataset=rows,
            callbacks=[FlopledgerCallback(tmp_path / "run")],
        ).train(resume_from_checkpoint=resume)

    train(3)
    train(5, str(tmp_path / "out/checkpoint-2"))  # so step 3 is done again
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    assert (totals.steps, totals.redone_steps) == (5, 1)
    assert totals.model_flop == 5 * flop
    assert totals.hardware_flop == 6 * flop
    assert [attempt.resumed_after for attempt in totals.attempts] == [None, 2]


def _whisper() -> tuple[Any, list[dict[str, Any]]]:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=64, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=16,
        max_source_positions=50, max_target_positions=32, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1, **tiny.PLAIN,
    )  # fmt: skip
    rows = [{"input_features": torch.randn(16, 100), "labels": torch.arange(3, 15)}] * 8
    return WhisperForConditionalGeneration(config), rows


def _wav2vec2() -> tuple[Any, list[dict[str, Any]]]:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    # One group: torch's counter takes the weight's gradient of a grouped convolution as dense.
    config = Wav2Vec2Config(
        vocab_size=32, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, conv_dim=(32, 32), conv_stride=(5, 2), conv_kernel=(10, 3),
        num_feat_extract_layers=2, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=1,
        layerdrop=0.0, mask_time_prob=0.0, ctc_loss_reduction="mean", **tiny.PLAIN,
    )  # fmt: skip
    rows = [{"input_values": torch.randn(1600), "labels": torch.arange(3, 9)}] * 8
    return Wav2Vec2ForCTC(config), rows


def _vit() -> tuple[Any, list[dict[str, Any]]]:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        image_size=32, patch_size=8, num_labels=5, **tiny.PLAIN,
    )  # fmt: skip
    rows = [{"pixel_values": torch.randn(3, 32, 32), "labels": torch.tensor(1)}] * 8
    return ViTForImageClassification(config), rows


@pytest.mark.parametrize("make", [_whisper, _wav2vec2, _vit], ids=["whisper", "wav2vec2", "vit"])
def test_audio_and_images(
    make: Callable[[], tuple[Any, list[dict[str, Any]]]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, rows = make()
    callback = FlopledgerCallback(tmp_path / "run")
    args = _arguments(tmp_path, max_steps=3, remove_unused_columns=False)
    Trainer(model=model, args=args, train_dataset=rows, callbacks=[callback]).train()
    totals = read_totals(tmp_path / "run")
    assert totals is not None
    assert totals.steps == 3
    assert totals.samples == 3 * 2
    model.train()
    assert totals.model_flop == 3 * _counted(model, _batch(rows[:2]))


def test_recording_changes_no_number(tmp_path: Path) -> None:
    def losses(callbacks: list[Any]) -> list[float]:
        trainer = Trainer(
            model=tiny.llama(),
            args=_arguments(tmp_path, logging_steps=1),
            train_dataset=tiny.text(8),
            callbacks=callbacks,
        )
        trainer.train()
        return [row["loss"] for row in trainer.state.log_history if "loss" in row]

    assert losses([]) == losses([FlopledgerCallback(tmp_path / "run")])


def test_sinks_get_every_step(tmp_path: Path) -> None:
    class Listed:
        name = "listed"

        def __init__(self) -> None:
            self.seen: list[sinks.StepMetrics] = []

        def emit(self, metrics: sinks.StepMetrics) -> None:
            self.seen.append(metrics)

        def close(self) -> None: ...

    sink, rows = Listed(), tiny.text(8)
    callback = FlopledgerCallback(tmp_path / "run", sinks=[sink])
    model = tiny.llama()
    Trainer(
        model=model, args=_arguments(tmp_path), train_dataset=rows, callbacks=[callback]
    ).train()
    flop = _counted(model, _batch(rows[:2]))
    assert [one.step for one in sink.seen] == [1, 2, 3, 4]
    assert [one.model_flop for one in sink.seen] == [flop] * 4
    assert [one.total_model_flop for one in sink.seen] == [flop, 2 * flop, 3 * flop, 4 * flop]
    assert [one.total_tokens for one in sink.seen] == [32, 64, 96, 128]
    assert all(one.duration_seconds is not None for one in sink.seen)
    assert all(one.mfu is None for one in sink.seen)  # nobody knows this processor's peak
    assert callback.session is not None
    (report,) = callback.session.delivered
    assert report.complete


def test_a_failure_and_a_second_training(tmp_path: Path) -> None:
    from transformers import GenerationMixin, TrainerCallback

    class Fails(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2:
                raise RuntimeError("boom")

    original = GenerationMixin.generate
    callback, fails = FlopledgerCallback(tmp_path / "run"), Fails()
    trainer = Trainer(
        model=tiny.llama(),
        args=_arguments(tmp_path),
        train_dataset=tiny.text(8),
        callbacks=[callback, fails],
    )
    with pytest.raises(RuntimeError, match="boom"):
        trainer.train()
    trainer.remove_callback(fails)
    trainer.train()
    first, second = read_steps(tmp_path / "run")
    assert first.sealed == "another call of train()"
    assert (len(list(first.steps())), len(list(second.steps()))) == (2, 4)
    assert GenerationMixin.generate is original


@pytest.fixture(autouse=True)
def _quiet() -> None:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    return
