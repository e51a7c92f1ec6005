"""Evidence completes a run and is held against what the case states."""

import json
from pathlib import Path

import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.verdict import Verdict

HEAD = 'schema = "flopledger/case/1"\ntitle = "t"\n'
#: A tiny MLPerf run: 100 sequences of 8192 tokens in 10 s on 2 x 4 accelerators.
LOG = "\n".join(
    f':::MLLOG {{"namespace": "", "time_ms": {time}, "event_type": "{kind}", "key": "{key}", '
    f'"value": {json.dumps(value)}, "metadata": {json.dumps(metadata)}}}'
    for time, kind, key, value, metadata in [
        (0, "POINT_IN_TIME", "submission_benchmark", "llama31_8b", {}),
        (0, "POINT_IN_TIME", "global_batch_size", 10, {}),
        (0, "POINT_IN_TIME", "max_sequence_length", 8192, {}),
        (1000, "INTERVAL_START", "run_start", None, {}),
        (11000, "INTERVAL_END", "run_stop", None, {"status": "success", "samples_count": 100}),
    ]
)
SYSTEM = {
    "number_of_nodes": "2",
    "accelerators_per_node": "4",
    "accelerator_model_name": "NVIDIA H100-SXM5-80GB",
}


def _audit(folder: Path, figures: str = "", head: str = "") -> AuditReport:
    (folder / "result_0.txt").write_text(LOG + "\n")
    (folder / "system.json").write_text(json.dumps(SYSTEM))
    (folder / "case.toml").write_text(
        f'{HEAD}{head}[[run]]\nname = "r"\nevidence = ["result_0.txt", "system.json"]\n{figures}\n'
    )
    return audit(AuditCase.load(folder / "case.toml"), trace=False)


def _codes(report: AuditReport) -> set[str]:
    return {finding.code for finding in report.findings}


def test_a_case_may_simply_list_files(tmp_path: Path) -> None:
    report = _audit(tmp_path)
    (run,) = report.runs
    assert run.figures.tokens.quantity.best == 100 * 8192
    assert run.figures.device_count.quantity.best == 8
    assert run.figures.device_seconds.quantity.best == 80  # 8 devices x 10 s
    assert run.part.id == "nvidia-h100-sxm5-80gb"
    assert run.figures.status == "success"
    # Llama 3.1 8B at 8192 tokens with full attention: 5.7914e10 FLOP a token
    assert report.estimates[0].flop.best == pytest.approx(100 * 8192 * 5.7914e10, rel=1e-3)
    assert set(run.evidence_digests) == {"result_0.txt", "system.json"}


def test_facts_keep_their_places(tmp_path: Path) -> None:
    facts = {fact.name: fact for fact in _audit(tmp_path).facts}
    assert facts["accelerator"].file == "system.json"
    assert "line" in facts["status"].locator


@pytest.mark.parametrize(
    ("figures", "code"),
    [
        ("accelerator_count = 4", "device-count-mismatch"),
        ("tokens = 1.0e6", "amount-mismatch"),
        ("accelerator_hours = 1.0", "device-time-mismatch"),
        ('accelerator = "NVIDIA A100-SXM4-80GB"', "accelerator-mismatch"),
    ],
)
def test_a_case_that_says_otherwise_is_told(tmp_path: Path, figures: str, code: str) -> None:
    report = _audit(tmp_path, figures)
    assert code in _codes(report)
    assert report.verdict is not Verdict.CONSISTENT


def test_what_the_part_of_the_evidence_could_not_have_done_is_said(tmp_path: Path) -> None:
    # 6 x 1e9 x 1.9e9 = 1.14e19 in 8 h: 40% of 989e12, and 127% of an A100's 312e12.
    (tmp_path / "system.json").write_text(
        json.dumps(
            {
                "number_of_nodes": 1,
                "accelerators_per_node": 8,
                "accelerator_model_name": "NVIDIA A100-SXM4-80GB",
                "host_processor_model_name": "EPYC",
            }
        )
    )
    case = (
        HEAD + '[model.m]\nparameters = 1e9\n[[run]]\nname = "r"\nmodel = "m"\ntokens = {}\n'
        'accelerator = "NVIDIA H100 80GB HBM3"\nprecision = "bf16"\naccelerator_hours = 8\n'
        'evidence = ["system.json"]\n'
    )
    for tokens, is_said in (("1.9e9", True), ("1.0e9", False)):
        (tmp_path / "case.toml").write_text(case.format(tokens))
        report = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
        told = [one.message for one in report.findings if one.code == "accelerator-mismatch"]
        assert any("'NVIDIA H100 80GB HBM3', the evidence 'NVIDIA A100" in one for one in told)
        assert any("times too much" in one for one in told) is is_said


@pytest.mark.parametrize(
    ("hours", "days", "is_asked"),
    [
        (70_000, "277 hours", True),  # 512 x 277 h are 141,824, more than twice as many
        (170_000, "277 hours", True),
        (120_000, "277 hours", False),  # devices fail, and stand idle
        (141_000, "11 days", False),  # 135,168, as rounded as a text rounds
    ],
)
def test_a_texts_devices_and_days_are_held_against_the_cases_hours(
    tmp_path: Path, hours: int, days: str, is_asked: bool
) -> None:
    (tmp_path / "card.md").write_text(f"# Card\n\nTraining took {days} on 512 H100 SXM GPUs.\n")
    (tmp_path / "case.toml").write_text(
        HEAD + '[model.m]\nparameters = 7e9\n[[run]]\nname = "r"\nmodel = "m"\ntokens = 2.4e12\n'
        'accelerator = "NVIDIA H100 80GB HBM3"\nprecision = "bf16"\n'
        f'accelerator_hours = {hours}\nevidence = ["card.md"]\n'
    )
    report = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
    assert ("device-time-mismatch" in _codes(report)) is is_asked


def test_figures_within_rounding_agree(tmp_path: Path) -> None:
    report = _audit(tmp_path, "tokens = 8.19e5\naccelerator_count = 8")
    assert not {"amount-mismatch", "device-count-mismatch"} & _codes(report)


def test_the_runs_own_total_is_rederived(tmp_path: Path) -> None:
    state = {
        "global_step": 100,
        "max_steps": 100,
        "total_flos": 1e30,
        "train_batch_size": 1,
        "log_history": [{"step": 100, "train_runtime": 50.0, "total_flos": 1e30}],
    }
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    (tmp_path / "case.toml").write_text(
        HEAD + "[model.m]\nparameters = 1e9\n"
        '[[run]]\nname = "r"\nmodel = "m"\ntokens = 1e9\nevidence = ["trainer_state.json"]\n'
    )
    report = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
    assert "counter-implausible" in _codes(report)
    assert report.verdict is Verdict.INCONSISTENT
    # 6 * 1e9 * 1e9, whatever the counter says
    assert report.combined.flop.best == pytest.approx(6e18, rel=0.01)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("6e18", Verdict.CONSISTENT),
        ("6e17", Verdict.NEEDS_EXPLANATION),  # one party, two statements
        ("between 5e18 and 7e18", Verdict.CONSISTENT),
    ],
)
def test_a_documents_words_are_held_against_the_count_too(
    tmp_path: Path, said: str, verdict: Verdict
) -> None:
    (tmp_path / "README.md").write_text(f"# Card\n\nTraining took {said} FLOP.\n")
    (tmp_path / "case.toml").write_text(
        HEAD + "[claim]\nflop = 6.0e18\n[model.m]\nparameters = 1e9\n"
        '[[run]]\nname = "r"\nmodel = "m"\ntokens = 1e9\nevidence = ["README.md"]\n'
    )
    report = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
    assert report.verdict is verdict
    told = [one.message for one in report.findings if one.code == "counter-implausible"]
    assert bool(told) is (verdict is not Verdict.CONSISTENT)
    assert not any("software" in one for one in told)


CASES = {
    "dev-mlperf-gpt3-h100x512": (1.264e21, 1.326e21),
    "dev-mlperf-llama8b-b200x8": (6.635e19, 7.73e19),
    "dev-mlperf-resnet-v100x8": (1.226e18 * 0.95, 1.226e18 * 1.05),
    "dev-log-modded-nanogpt-124m": (1.453e18 * 0.93, 1.453e18 * 1.03),
}


@pytest.mark.parametrize("name", CASES)
def test_public_logs(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "data/evidence"
    (case,) = [
        one
        for one in json.loads((folder / "cases.json").read_text())["cases"]
        if one["name"] == name
    ]
    files = json.dumps([str(folder / one) for one in case["inputs"]])
    (tmp_path / "case.toml").write_text(f'{HEAD}[[run]]\nname = "r"\nevidence = {files}\n')
    loaded = AuditCase.load(tmp_path / "case.toml", allow_outside=True)
    report = audit(loaded, trace=False)
    low, high = CASES[name]
    assert low <= report.estimates[0].flop.best <= high
    (run,) = report.runs
    expected = case["expected"]
    seconds = expected.get("accelerator_seconds", expected.get("gpu_hours", 0) * 3600)
    assert run.figures.device_seconds.quantity.best == pytest.approx(seconds, rel=1e-3)
    for precision, share in expected.get("utilisation", {}).items():
        used = run.utilisation[precision]
        assert used.low * 0.96 <= share <= used.high * 1.04


@pytest.mark.trace
def test_the_whisper_counter_is_contradicted(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/evidence/hf/whisper-medium-pt"
    files = json.dumps([str(path) for path in sorted(folder.iterdir())])
    (tmp_path / "case.toml").write_text(f'{HEAD}[[run]]\nname = "r"\nevidence = {files}\n')
    report = audit(AuditCase.load(tmp_path / "case.toml", allow_outside=True))
    assert report.verdict is Verdict.INCONSISTENT
    assert "counter-implausible" in _codes(report)
    assert 7.59e17 <= report.combined.flop.best <= 1e18


@pytest.mark.parametrize(
    ("count", "code", "verdict"),
    [(2048, "coverage-gap", "consistent"), (2044, "device-count-mismatch", "needs-explanation")],
)
def test_the_devices_of_one_host_bound_no_run_of_several(tmp_path, count, code, verdict):
    """Trackers list the host of rank 0: 2048 devices are 256 such hosts of 8, and 2044 are none."""
    listed = {"startedAt": "2024-03-04T00:00:00Z", "program": "t.py", "gpu_count": 8, "host": "n",
              "gpu_nvidia": [{"name": "NVIDIA H100 80GB HBM3", "memoryTotal": "85520809984"}]}  # fmt: skip
    (tmp_path / "wandb-metadata.json").write_text(json.dumps(listed))
    case = tmp_path / "case.toml"
    # 6 x 8.03e9 x 15e12 = 7.2e23
    case.write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n[claim]\nflop = 7.2e23\n[model.m]\nparameters = 8.03e9\n'
        '[[run]]\nname = "r"\nmodel = "m"\ntokens = 15e12\nprecision = "bf16"\nwall_clock_hours = 640\n'
        f'accelerator = "NVIDIA H100 80GB HBM3"\naccelerator_count = {count}\n'
        'evidence = ["wandb-metadata.json"]\n'
    )
    report = audit(AuditCase.load(case))
    found = [one for one in report.findings if one.code == code]
    assert found
    assert "not known" not in found[0].message
    assert report.verdict == verdict


def test_a_list_of_one_host_refutes_no_run_that_may_have_had_more(tmp_path):
    """640 hours of the 8 devices that rank 0 lists cannot do 7e23 FLOP; 256 such hosts can."""
    listed = {"startedAt": "2024-03-04T00:00:00Z", "program": "t.py", "gpu_count": 8, "host": "n",
              "gpu_nvidia": [{"name": "NVIDIA H100 80GB HBM3", "memoryTotal": "85520809984"}]}  # fmt: skip
    (tmp_path / "wandb-metadata.json").write_text(json.dumps(listed))
    (tmp_path / "wandb-summary.json").write_text(
        json.dumps({"_runtime": 2_304_000, "_step": 9, "_timestamp": 1_711_000_000})
    )
    case = tmp_path / "case.toml"
    case.write_text(
        HEAD + "[claim]\nflop = 7.2e23\n[model.m]\nparameters = 8.03e9\n"
        '[[run]]\nname = "r"\nmodel = "m"\ntokens = 15e12\nprecision = "bf16"\n'
        'evidence = ["wandb-metadata.json", "wandb-summary.json"]\n'
    )
    report = audit(AuditCase.load(case))
    assert report.verdict == Verdict.NEEDS_EXPLANATION
    assert not [one for one in report.findings if one.severity == "error"]


def test_a_text_does_not_override_what_the_case_states(tmp_path):
    (tmp_path / "README.md").write_text("The model was trained on 2T tokens with 512 A100 GPUs.\n")
    text = (
        f'{HEAD}[claim]\nflop = 6.3e23\nbasis = "unknown"\n[model.m]\nparameters = 7e9\n[[run]]\nname = "r"\n'
        'model = "m"\ntokens = 15e12\nevidence = ["README.md"]\n'
    )
    (tmp_path / "case.toml").write_text(text)
    report = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
    (run,) = report.runs
    # 6 x 7e9 x 15e12; the sentence may be of another model, and both are words
    assert run.figures.tokens.quantity.best == 15e12
    assert run.figures.device_count.quantity.best == 512  # what the case leaves out it fills
    assert report.combined.flop.best == pytest.approx(6.3e23)
    (told,) = [one for one in report.findings if one.code == "amount-mismatch"]
    assert "1.5e13" in told.message
    assert "2.0e12" in told.message
    assert "the case's figure is used" in told.message
    assert any("README.md: line 1" in place for place in told.evidence)
    assert report.verdict is Verdict.NEEDS_EXPLANATION


def test_a_document_with_keys_still_outranks_the_case(tmp_path):
    # The system description is submitted with the log: 2 nodes of 4, and the case counts nodes.
    report = _audit(tmp_path, "accelerator_count = 2")
    assert report.runs[0].figures.device_count.quantity.best == 8


def test_the_devices_of_one_host_tell_no_precision(tmp_path):
    # 6 x 7e9 x 2.1e10 tokens over 86,000 s x 8 H100 is 1.14 of their bf16 peak: several such hosts, or fp8.
    metadata = {"startedAt": "2025-01-01T00:00:00Z", "program": "t.py", "gpu_count": 8}
    metadata["gpu_nvidia"] = [{"name": "NVIDIA H100 80GB HBM3"}] * 8
    summary = {"_runtime": 86_400.5, "train/train_runtime": 86_000}
    summary["train/num_input_tokens_seen"] = 20_971_520_000
    (tmp_path / "wandb-metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "wandb-summary.json").write_text(json.dumps(summary))
    (tmp_path / "case.toml").write_text(
        f'{HEAD}[model.m]\nparameters = 7e9\n[[run]]\nname = "r"\nmodel = "m"\n'
        'evidence = ["wandb-metadata.json", "wandb-summary.json"]\n'
    )
    report = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
    (told,) = [one for one in report.findings if one.code == "precision-inferred"]
    assert "of one host" in told.message
    assert "was used" not in told.message
    assert report.runs[0].verdict is Verdict.NEEDS_EXPLANATION
