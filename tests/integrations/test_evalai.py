"""The challenge folder as EvalAI's worker runs it: extracted from its zip, imported, called."""

import importlib
import json
import math
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flopledger import bundle
from flopledger.bundle.sealing import Choices
from flopledger.cases.case import AuditCase
from flopledger.integrations import evalai
from flopledger.integrations.evalai import EvalaiError, Split

Write = Callable[..., str]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("key")
    bundle.generate_key(folder)
    return folder


@pytest.fixture(scope="module")
def sealed(root: Path, tmp_path_factory: pytest.TempPathFactory, key: Path) -> Path:
    """Seal an honest audit."""
    folder = tmp_path_factory.mktemp("case")
    shutil.copytree(root / "examples/llama-2-70b", folder, dirs_exist_ok=True)
    out = folder / "evidence.zip"
    bundle.seal_case(
        AuditCase.load(folder / "case.toml"),
        keys=[bundle.load_private(key / "flopledger.key")],
        out=out,
        trace=False,
        choices=Choices(html=False),
    )
    return out


@pytest.fixture
def annotation(tmp_path: Path) -> Write:
    def write(reference: float = 8.6e23, **phase: Any) -> str:
        path = tmp_path / "annotation.json"
        splits = {"practice_run": {"reference_flop": reference}}
        content = {"schema": evalai.SCHEMA, "phases": {"practice": {"splits": splits, **phase}}}
        path.write_text(json.dumps(content))
        return str(path)

    return write


@pytest.fixture
def worker(root: Path, tmp_path: Path) -> Iterator[ModuleType]:
    """Import the evaluation script as EvalAI's worker does."""
    spec = importlib.util.spec_from_file_location("pack", root / "examples/evalai/pack.py")
    assert spec is not None
    assert spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    script, challenge = pack.pack(tmp_path / "zips")
    with zipfile.ZipFile(challenge) as archive:
        assert archive.read("evaluation_script.zip") == script.read_bytes()
        archive.extractall(tmp_path / "challenge")
    data = tmp_path / "compute" / "challenge_data"
    home = data / "challenge_1"
    home.mkdir(parents=True)
    (data / "__init__.py").touch()
    (home / "__init__.py").touch()
    with zipfile.ZipFile(script) as archive:
        archive.extractall(home)
    sys.path.insert(0, str(tmp_path / "compute"))
    try:
        importlib.invalidate_caches()
        yield importlib.import_module("challenge_data.challenge_1")
    finally:
        sys.path.remove(str(tmp_path / "compute"))
        for name in [name for name in sys.modules if name.startswith("challenge_data")]:
            del sys.modules[name]


def test_the_worker_scores_a_sealed_bundle(
    worker: ModuleType, sealed: Path, annotation: Write
) -> None:
    answer = worker.evaluate(
        annotation(), str(sealed), "practice", submission_metadata={"participant_team": 5}
    )
    ((split, row),) = [item for entry in answer["result"] for item in entry.items()]
    assert split == "practice_run"
    assert set(row) <= set(evalai.LABELS)
    assert (row["Seal"], row["Verdict"]) == (1.0, 1.0)
    found = answer["submission_result"]
    assert found["recomputed"] is True
    assert found["verdict"] == "consistent"
    flop = found["flop"]
    # The reference lies inside, so the interval score is the width alone.
    width = math.log10(flop["high"]) - math.log10(flop["low"])
    assert flop["low"] < 8.6e23 < flop["high"]
    assert row["Width"] == pytest.approx(width)
    assert row["Score"] == pytest.approx(1 / (1 + width))
    assert row["LogError"] == pytest.approx(abs(math.log10(flop["best"] / 8.6e23)))
    json.dumps(answer, allow_nan=False)  # EvalAI stores it as JSON


def test_an_older_python_asks_a_newer_one(
    worker: ModuleType, sealed: Path, annotation: Write, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    main = sys.modules["challenge_data.challenge_1.main"]
    # A stand-in for an interpreter in which flopledger is installed: this one, with its path.
    wrapper = Path(annotation()).parent / "python"
    paths = json.dumps([str(root), *sys.path])
    wrapper.write_text(
        f"#!{sys.executable}\nimport runpy, sys\nsys.path[:0] = {paths}\n"
        "assert sys.argv[1:4] == ['-I', '-m', 'flopledger.integrations.evalai']\n"
        "sys.argv[1:4] = []\n"
        "runpy.run_module('flopledger.integrations.evalai', run_name='__main__')\n"
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("FLOPLEDGER_PYTHON", str(wrapper))
    direct = evalai.evaluate(annotation(), str(sealed), "practice")
    assert main._elsewhere(annotation(), str(sealed), "practice") == direct
    with pytest.raises(RuntimeError, match="no phase 'nope'"):
        main._elsewhere(annotation(), str(sealed), "nope")
    monkeypatch.delenv("FLOPLEDGER_PYTHON")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match="FLOPLEDGER_PYTHON"):
        main._interpreter()


def test_the_script_parses_on_the_workers_python(root: Path) -> None:
    import ast

    for path in (root / "examples/evalai/evaluation_script").glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 7))


def test_one_changed_byte_costs_the_score(sealed: Path, annotation: Write, tmp_path: Path) -> None:
    data = bytearray(sealed.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "changed.zip"
    path.write_bytes(data)
    answer = evalai.evaluate(annotation(), str(path), "practice")
    assert answer["result"] == [{"practice_run": {"Score": 0.0, "Seal": 0.0}}]
    assert answer["submission_result"]["problems"]


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"import os; os.abort()"])
def test_what_is_no_bundle_scores_nothing(
    content: bytes, annotation: Write, tmp_path: Path
) -> None:
    path = tmp_path / "submission.zip"
    path.write_bytes(content)
    answer = evalai.evaluate(annotation(), str(path), "practice")
    assert answer["result"] == [{"practice_run": {"Score": 0.0, "Seal": 0.0}}]


def test_keys_and_evidence_that_the_host_asks_for(
    sealed: Path, annotation: Write, key: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    bundle.generate_key(other)
    pem, strange = (folder / "flopledger.pub" for folder in (key, other))
    answer = evalai.evaluate(annotation(trusted_keys=[pem.read_text()]), str(sealed), "practice")
    assert answer["result"][0]["practice_run"]["Seal"] == 1.0
    answer = evalai.evaluate(
        annotation(trusted_keys=[strange.read_text()]), str(sealed), "practice"
    )
    assert answer["result"][0]["practice_run"] == {"Score": 0.0, "Seal": 0.0}
    answer = evalai.evaluate(annotation(required_sha256=["ab" * 32]), str(sealed), "practice")
    assert answer["result"][0]["practice_run"]["Score"] == 0.0
    assert "handed out" in answer["submission_result"]["problems"][0]


def test_time_memory_and_size_are_bounded(sealed: Path, annotation: Write) -> None:
    answer = evalai.evaluate(annotation(limits={"seconds": 0.01}), str(sealed), "practice")
    assert answer["submission_result"]["problems"] == ["not checked within 0.01 s"]
    answer = evalai.evaluate(annotation(limits={"submission_bytes": 10}), str(sealed), "practice")
    assert "10 are taken" in answer["submission_result"]["problems"][0]
    small = annotation(limits={"memory_bytes": 50 << 20})
    answer = evalai.evaluate(small, str(sealed), "practice")
    assert answer["result"] == [{"practice_run": {"Score": 0.0, "Seal": 0.0}}]
    assert answer["submission_result"]["problems"]


def test_the_hosts_own_mistakes_are_errors(sealed: Path, annotation: Write, tmp_path: Path) -> None:
    with pytest.raises(EvalaiError, match="no phase 'final'; it has practice"):
        evalai.evaluate(annotation(), str(sealed), "final")
    with pytest.raises(EvalaiError, match="reference_flop is 0"):
        evalai.evaluate(annotation(0.0), str(sealed), "practice")
    with pytest.raises(EvalaiError, match="unknown field `typo`"):
        evalai.evaluate(annotation(typo=1), str(sealed), "practice")
    with pytest.raises(EvalaiError, match="No such file"):
        evalai.evaluate(str(tmp_path / "none.json"), str(sealed), "practice")


def test_scores_by_hand() -> None:
    def row(low: float, best: float, high: float, verdict: str = "consistent") -> dict[str, float]:
        flop = {"low": low, "best": best, "high": high}
        return evalai.scores(
            {"sealed": True, "verdict": verdict, "flop": flop}, Split(reference_flop=1e24)
        )

    # a decade wide around the truth: 1 / (1 + 1)
    assert row(10**23.5, 1e24, 10**24.5)["Score"] == pytest.approx(0.5)
    # from 10 to 100 times the truth: width 1, missed by 1 decade: 1 / (1 + 1 + 20)
    assert row(1e25, 3e25, 1e26)["Score"] == pytest.approx(1 / 22)
    assert row(1e25, 1e25, 1e26)["LogError"] == pytest.approx(1.0)
    assert row(10**23.5, 1e24, 10**24.5, "inconsistent")["Score"] == 0
    open_end = {"low": 1e23, "best": None, "high": None}
    found = {"sealed": True, "verdict": "undetermined", "flop": open_end}
    # No figure, no column: nothing that a sort could take for a perfect 0.
    assert evalai.scores(found, Split(reference_flop=1e24)) == {
        "Score": 0.0,
        "Seal": 1.0,
        "Verdict": 0.0,
    }


def test_the_challenge_names_what_the_script_returns(root: Path) -> None:
    yaml = pytest.importorskip("yaml")
    folder = root / "examples/evalai"
    config = yaml.safe_load((folder / "challenge_config.yaml").read_text())
    (board,) = config["leaderboard"]
    assert tuple(board["schema"]["labels"]) == evalai.LABELS
    assert board["schema"]["default_order_by"] == "Score"
    splits = {split["id"]: split["codename"] for split in config["dataset_splits"]}
    phases = {phase["id"]: phase for phase in config["challenge_phases"]}
    for link in config["challenge_phase_splits"]:
        # EvalAI reads a missing score as 0, so 0 must be the worst.
        assert link["is_leaderboard_order_descending"] is True
        phase = phases[link["challenge_phase_id"]]
        judged = evalai._phase(folder / phase["test_annotation_file"], phase["codename"])
        assert splits[link["dataset_split_id"]] in judged.splits
    for name in ("description", "evaluation_details", "terms_and_conditions", "image"):
        assert (folder / config[name]).is_file()
