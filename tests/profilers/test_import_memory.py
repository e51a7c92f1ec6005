"""Memory of an import does not grow with the file: the benchmark's own measurement, in small."""

import importlib.util
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks/telemetry_store.py"


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    spec = importlib.util.spec_from_file_location("telemetry_store", BENCHMARK)
    store = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(store)
    peaks = []
    for rows in (600_000, 1_200_000):
        store.write_csv(tmp_path / "flat.csv", "own, 12 signals", rows)
        peak, _ = store.peak_memory(tmp_path / "flat.csv", tmp_path)
        peaks.append(peak)
    # 46 MB more of CSV; a reader that kept its rows would need 600,000 x 14 x 8 bytes = 67 MB more.
    assert peaks[1] < peaks[0] + 40, peaks
    # 10 bytes a sample were measured; the target is 13.
    stored = sum(p.stat().st_size for p in (tmp_path / "flat").rglob("*.parquet"))
    assert stored / 1_200_000 < 13
