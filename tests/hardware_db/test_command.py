"""``flopledger hardware``: JSON keys, exit codes, and errors without traceback."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopledger.commands import main
from tests.hardware_db.cards import CARD

ROOT = Path(__file__).parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["hardware", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json")[1])


def test_show_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    part = answer(capsys, "show", "H100 SXM")
    keys = {"id", "name", "vendor", "architecture", "memory_gb", "bandwidth_gb_per_s", "tdp_w"}
    assert keys | {"devices_per_package", "peaks"} <= set(part)
    bf16 = next(
        p
        for p in part["peaks"]
        if p["dtype"] == "bf16" and p["engine"] == "matrix" and not p["sparse"]
    )
    assert bf16["flop_per_second"] == 989.4e12
    assert {
        "dtype",
        "engine",
        "accumulate",
        "sparse",
        "source",
        "locator",
        "edition",
        "date",
    } <= set(bf16)


def test_show_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", "NVIDIA H20")
    assert code == 0
    assert "capped" in out
    assert "148" in out


def test_show_refuses_with_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "show", "H100")
    assert (code, out) == (2, "")
    assert "nvidia-h100-pcie-80gb" in err
    assert "?" in err


def test_match_answers_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "match", "NVIDIA H100 80GB HBM3", "A100", "potato")
    assert [a["status"] for a in found] == ["exact", "ambiguous", "unknown"]
    assert [a["id"] for a in found] == ["nvidia-h100-sxm5-80gb", None, None]
    assert len(found[1]["candidates"]) == 4


@pytest.mark.parametrize(("value", "code"), [("989TFLOP/s", 0), ("1979TFLOP/s", 1), ("7.77e14", 3)])
def test_explain_exits_by_its_answer(
    capsys: pytest.CaptureFixture[str], value: str, code: int
) -> None:
    arguments = ("explain", value, "--device", "H100 SXM", "--dtype", "bf16")
    assert run(capsys, *arguments)[0] == code
    told = answer(capsys, *arguments)
    assert told["correct"] is (code == 0)
    assert told["rated_flop_per_second"] == 989.4e12
    assert bool(told["explanations"]) is (code == 1)
    assert all({"code", "factor", "text"} <= set(e) for e in told["explanations"])


def test_explain_takes_a_name_whose_readings_compute_alike(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(capsys, "explain", "312TFLOPS", "--device", "A100", "--dtype", "bf16")[0] == 0


def test_instance(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "instance", "p5.48xlarge")
    assert (found["instance"], found["accelerator"], found["count"]) == (
        "p5.48xlarge",
        "nvidia-h100-sxm5-80gb",
        8,
    )
    assert run(capsys, "instance", "p5.nope")[0] == 2


def test_list_filters_and_exports(capsys: pytest.CaptureFixture[str]) -> None:
    parts = answer(capsys, "list", "--family", "hopper", "--dtype", "fp8", "--min-memory", "100")
    assert {p["id"] for p in parts} >= {"nvidia-h200-sxm-141gb", "nvidia-h20-141gb"}
    assert all(p["memory_gb"] >= 100 for p in parts)
    peaks = [max(f["flop_per_second"] for f in p["peaks"] if f["dtype"] == "fp8") for p in parts]
    assert peaks == sorted(peaks, reverse=True)
    _, out, _ = run(capsys, "list", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) > 1200
    assert all(row["source"] and row["locator"] for row in rows)
    assert "nvidia-h100-sxm5-80gb" in run(capsys, "list", "--vendor", "nvidia")[1]


@pytest.mark.parametrize(
    "options",
    [
        ("--name", "zork"),
        ("--name", "h100", "--min-memory", "500"),
        ("--name", "a100", "--dtype", "fp8"),
    ],
)
def test_a_list_of_nothing_is_no_success(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    code, out, told = run(capsys, "list", *options)
    assert (code, out) == (1, "")
    assert "no part on record fits" in told
    code, out, _ = run(capsys, "list", *options, "--json")
    assert (code, json.loads(out)) == (1, [])


def test_verify(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify")
    assert code == 0
    assert "0 problems" in out
    assert answer(capsys, "verify")["ok"] is True


def test_own_parts_by_option(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "acme-one.toml"
    file.write_text(CARD)
    assert answer(capsys, "show", "Acme One", "--hardware-path", str(file))["id"] == "acme-one"
    file.write_text(CARD.replace("tdp_w = 300", "tdp_w = 3"))
    assert run(capsys, "verify", "--hardware-path", str(file))[0] == 1
    file.write_text(CARD.replace("units", "unit"))
    code, _, err = run(capsys, "verify", "--hardware-path", str(file))
    assert code == 2
    assert "acme-one.toml" in err
    assert "unit" in err


def test_hardware_db_needs_nothing_but_the_standard_library() -> None:
    code = "import hardware_db; hardware_db.identify('H100 SXM').peak_flop_per_second('bf16')"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=ROOT)
