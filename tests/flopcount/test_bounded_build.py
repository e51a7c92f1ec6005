"""A number of layers under any name ends in an error and not in a build without end."""

import json
import threading

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.trace
ALBERT = {
    "model_type": "albert",
    "architectures": ["AlbertForMaskedLM"],
    "hidden_size": 64,
    "embedding_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 100,
}


def test_groups_without_end_are_refused(tmp_path, monkeypatch):
    from flopcount.model_files import bounded_build
    from flopcount.model_files.architectures import load

    monkeypatch.setattr(bounded_build, "MOST_MODULES", 1000)
    (tmp_path / "config.json").write_text(json.dumps(ALBERT | {"inner_group_num": 999_999_999}))
    with pytest.raises(bounded_build.TooManyModulesError, match="more than 1,000 modules"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(ALBERT))
    assert load(tmp_path).parameters.total > 0


def test_a_denoiser_with_blocks_without_end_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("diffusers")
    from flopcount.model_files import bounded_build
    from flopcount.model_files.architectures import load

    monkeypatch.setattr(bounded_build, "MOST_MODULES", 1000)
    config = {"_class_name": "UNet2DModel", "sample_size": 32, "layers_per_block": 1900}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(bounded_build.TooManyModulesError, match="more than 1,000 modules"):
        load(tmp_path)


def test_other_threads_build_what_they_like(tmp_path, monkeypatch):
    from flopcount.model_files import bounded_build

    monkeypatch.setattr(bounded_build, "MOST_MODULES", 2)
    built = []
    with bounded_build.bounded_modules(tmp_path):
        layers = [torch.nn.ReLU() for _ in range(5)]
        thread = threading.Thread(target=lambda: built.append(torch.nn.Sequential(*layers)))
        thread.start()
        thread.join()
        torch.nn.Sequential(*layers[:2])
        with pytest.raises(bounded_build.TooManyModulesError):
            torch.nn.Sequential(torch.nn.ReLU())
    assert len(built[0]) == 5
    assert len(torch.nn.Sequential(*layers)) == 5  # nothing stays behind
