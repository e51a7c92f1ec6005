"""Packed recordings: read as what is in them, within bounds, and never half."""

import gzip
import tempfile

import pyarrow as pa
import pytest

from profilers.importers import open_recording
from profilers.importers.errors import ImportFormatError, LimitError
from profilers.importers.into import import_files
from profilers.importers.options import Options

UUID = "GPU-00000000-0000-0000-0000-000000000001"
HEADER = "timestamp, uuid, power.draw [W], utilization.gpu [%]\n"
LOG = HEADER + "".join(
    f"2026/03/01 12:{second // 60:02d}:{second % 60:02d}.000, {UUID}, {300 + second % 7}.00 W, 90 %\n"
    for second in range(1800)
)


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("bulk", [True, False])
def test_a_packed_log_is_the_log(tmp_path, pack, bulk):
    plain, packed = tmp_path / "gpu.csv", tmp_path / "gpu.bin"
    plain.write_text(LOG)
    packed.write_bytes(pack(LOG.encode()))
    outcomes = []
    for path in (plain, packed):
        folder = tmp_path / f"run-{path.suffix[1:]}"
        (one,) = import_files([str(path)], folder, Options(bulk=bulk)).imported
        outcomes.append((one.rows, one.sha256, one.covered_seconds, one.format))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == 1800
    # The same content counts once, packed or not.
    with pytest.raises(ImportFormatError, match="already in this record"):
        import_files([str(packed)], tmp_path / "run-csv", append=True)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "gpu.csv.gz"
    path.write_bytes(gzip.compress(LOG.encode()))
    import_files([str(path)], tmp_path / "run")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["gpu.csv.gz", "run"]


def test_rotated_logs_put_together(tmp_path):
    path = tmp_path / "two.gz"
    half = LOG.index("\n", len(LOG) // 2) + 1
    path.write_bytes(gzip.compress(LOG[:half].encode()) + gzip.compress(LOG[half:].encode()))
    (one,) = import_files([str(path)], tmp_path / "run").imported
    assert one.rows == 1800


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.999, 0.5, 0.01])
def test_an_archive_cut_short_is_refused(tmp_path, pack, kept):
    data = pack(LOG.encode())
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(data[: max(8, int(len(data) * kept))])
    with pytest.raises(ImportFormatError, match=r"cut\.csv\.gz: is a damaged \w+ archive"):
        import_files([str(path)], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_changed_byte_is_found_by_the_checksum(tmp_path):
    data = bytearray(gzip.compress(LOG.encode()))
    data[-6] ^= 1  # within the CRC
    path = tmp_path / "bad.gz"
    path.write_bytes(bytes(data))
    with pytest.raises(ImportFormatError, match="damaged gzip"):
        import_files([str(path)], tmp_path / "run")


def test_a_bomb_is_refused_before_the_disk_is_full(tmp_path, monkeypatch):
    """64 MiB and a byte of zeros are about 64 KiB packed: more than 200 times."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(64 * 1024**2 + 1)))
    with pytest.raises(LimitError, match="unpacks to more than 67108864 bytes"):
        open_recording(path)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_in_an_archive_is_told_by_the_archives_name(tmp_path):
    path = tmp_path / "what.gz"
    path.write_bytes(gzip.compress(b"no telemetry at all\n"))
    with pytest.raises(ImportFormatError, match=r"what\.gz: is of no format"):
        open_recording(path)
    path.write_bytes(gzip.compress(gzip.compress(b"twice")))
    with pytest.raises(ImportFormatError, match="an archive within an archive"):
        open_recording(path)
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(ImportFormatError, match="an archive of nothing"):
        open_recording(path)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"PK\x03\x04....", "`unzip`"),
        (b"BZh91AY", "bunzip2"),
        (b"1767225600.12,301.5,299.0\n1767225600.22,301.5,299.0\n", "Zeus' PowerMonitor"),
    ],
)
def test_others_are_refused_with_the_cure(tmp_path, head, told):
    path = tmp_path / "other"
    path.write_bytes(head)
    with pytest.raises(ImportFormatError, match=told):
        open_recording(path)
