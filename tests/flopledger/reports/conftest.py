"""Cases with everything that a report can show, and one whose every word is hostile."""

import json
from pathlib import Path

import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase

#: What somebody might write into a case, a log or a device's name.
HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>"
    '" onload="window.pwned=3" #let x = sys.inputs $x$ `code` *b* | [a](javascript:alert(1)) %{x} &#60;'
    "\u202egnp.exe\u200b =cmd|' /C calc'!A0"
)


def dcgm(seconds: int = 1200, hole: tuple[int, int] = (400, 600), gpus: int = 2) -> str:
    """Twenty minutes of H100s at 1 Hz with a hole, as dcgm-exporter prints it."""
    lines = ["# TYPE DCGM_FI_DEV_POWER_USAGE gauge"]
    for second in range(seconds):
        if hole[0] <= second < hole[1]:
            continue
        stamp = (1_700_000_000 + second) * 1000
        for gpu in range(gpus):
            who = (
                f'{{gpu="{gpu}",UUID="GPU-{gpu}",modelName="NVIDIA H100 80GB HBM3",Hostname="n0"}}'
            )
            lines += [
                f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{who} {0.3 + 0.1 * gpu} {stamp}",
                f"DCGM_FI_DEV_SM_CLOCK{who} 1500 {stamp}",
                f"DCGM_FI_DEV_POWER_USAGE{who} {500 + 50 * gpu + second % 7} {stamp}",
            ]
    return "\n".join(lines) + "\n"


#: Two runs, telemetry, a claim, a base model, an unread file.
FULL = """schema = "flopledger/case/1"
title = "A case with everything"
[claim]
flop = 6.2e19
basis = "model"
statement = "trained with 6.2e19 FLOP"
source = "model card"
[model.m]
parameters = 1e9
[base_model]
flop = 1.0e21
[[run]]
name = "pre-training"
model = "m"
tokens = [0.95e10, 1.05e10]
sequence_length = 2048
precision = "bf16"
accelerator = "NVIDIA H100 80GB HBM3"
accelerator_count = 2
accelerator_hours = 50
[[run]]
name = "rollouts"
kind = "synthetic-data"
model = "m"
tokens = 1e9
precision = "bf16"
accelerator = "NVIDIA H100 80GB HBM3"
evidence = ["dcgm.prom", "notes.bin"]
"""


#: What only the provider can say.
RELEASE = """
[release]
name = "Example 1B"
version = "1.0"
date = 2026-01-31
union_market_date = "2026-02-15"
provider = "Example AI Ltd"
provider_contact = "office@example.org"
download_location = "https://example.org/model"
license = "Apache-2.0 OR LicenseRef-example.1"
license_location = "https://example.org/licence"
sha256 = "%s"
distribution = ["weights on a hub", "API"]
acceptable_use = "https://example.org/use"
intended_use = "Text generation"
input_modalities = ["text", "image"]
output_modalities = ["text"]
derived_from = ["N/A"]
""" % ("ab" * 32)


def audited(folder: Path, text: str, recording: str | None = None) -> AuditReport:
    (folder / "dcgm.prom").write_text(dcgm() if recording is None else recording)
    (folder / "notes.bin").write_bytes(b"\x00\x01 not a log")
    (folder / "case.toml").write_text(text)
    return audit(AuditCase.load(folder / "case.toml"), trace=False)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> AuditReport:
    return audited(tmp_path_factory.mktemp("full"), FULL)


@pytest.fixture(scope="session")
def metered(tmp_path_factory: pytest.TempPathFactory) -> AuditReport:
    """``full`` with a recording that has no hole: its sums are figures, not lower bounds."""
    return audited(tmp_path_factory.mktemp("metered"), FULL, dcgm(hole=(0, 0)))


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> AuditReport:
    """The case with everything, its provider's word, and a meter on both runs."""
    text = FULL.replace(
        "accelerator_hours = 50",
        'accelerator_hours = 50\nenergy_mwh = 0.04\nenergy_boundary = "node"',
    )
    text = text.replace('kind = "synthetic-data"', 'kind = "finetuning"')
    return audited(tmp_path_factory.mktemp("released"), text + RELEASE, dcgm(hole=(0, 0)))


@pytest.fixture(scope="session")
def usual(root: Path) -> AuditReport:
    return audit(AuditCase.load(root / "examples/opt-175b/case.toml"), trace=False)


@pytest.fixture(scope="session")
def nothing_known(root: Path) -> AuditReport:
    return audit(AuditCase.load(root / "examples/mixtral-8x7b/case.toml"), trace=False)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> AuditReport:
    quoted = json.dumps(HOSTILE)
    said = json.dumps("".join(letter for letter in HOSTILE if letter.isprintable()))
    text = FULL.replace('"A case with everything"', quoted).replace('"model card"', quoted)
    text = text.replace('"trained with 6.2e19 FLOP"', quoted)
    text = text.replace('name = "pre-training"', f"name = {quoted}")
    text = text.replace(
        'kind = "synthetic-data"', f'kind = "synthetic-data"\nsources = {{ tokens = {quoted} }}'
    )
    release = (
        f"\n[release]\nname = {said}\nversion = {said}\nprovider = {said}\nintended_use = {said}\n"
    )
    return audited(tmp_path_factory.mktemp("hostile"), text + release)


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[3]
