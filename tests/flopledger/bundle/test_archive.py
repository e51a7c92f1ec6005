"""The zip has one form; everything else is refused, fast and in little memory."""

import io
import random
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from flopledger import bundle
from flopledger.bundle import BundleError
from flopledger.bundle.archive import Archive
from tests.flopledger.bundle import attacks


def test_any_zip_reader_reads_it(sealed: Path) -> None:
    with zipfile.ZipFile(sealed) as archive:
        assert archive.testzip() is None
        found = {info.filename: archive.read(info) for info in archive.infolist()}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}
    assert found == dict(attacks.files_of(sealed.read_bytes()))


def test_writing_what_was_read_gives_the_same_bytes(sealed: Path) -> None:
    whole = sealed.read_bytes()
    assert attacks.canonical(attacks.files_of(whole)) == whole


def test_every_byte_matters(tiny: Path, tmp_path: Path) -> None:
    """Change each byte of a bundle in turn, to a value at random."""
    whole = tiny.read_bytes()
    assert 3_000 < len(whole) < 8_000
    assert bundle.verify(tiny).ok
    draw = random.Random(8)
    target = tmp_path / "changed.zip"
    missed = []
    for place, byte in enumerate(whole):
        changed = byte ^ draw.randrange(1, 256)
        target.write_bytes(whole[:place] + bytes([changed]) + whole[place + 1 :])
        if bundle.verify(target).ok:
            missed.append((place, changed))
    assert missed == []


def test_every_length_matters(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    target = tmp_path / "changed.zip"
    draw = random.Random(9)
    for place in draw.sample(range(len(whole)), 200):
        for changed in (
            whole[:place],
            whole[:place] + whole[place + 1 :],
            whole[:place] + b"\0" + whole[place:],
        ):
            target.write_bytes(changed)
            assert not bundle.verify(target).ok, place


@pytest.mark.parametrize("kind", ["structural", "named"])
def test_other_forms_are_refused(kind: str, tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "changed.zip"
    accepted = []
    for what, content in getattr(attacks, kind)(tiny.read_bytes()):
        target.write_bytes(content)
        found = bundle.verify(target)
        if found.ok or {problem.code for problem in found.problems} != {"form"}:
            accepted.append(what)
    assert accepted == []


def test_bombs_are_refused_without_being_opened(tmp_path: Path) -> None:
    target = tmp_path / "bomb.zip"
    for what, content in attacks.bombs():
        target.write_bytes(content)
        tracemalloc.start()
        began = time.process_time()
        found = bundle.verify(target)
        seconds = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert not found.ok, what
        assert peak < 4 << 20, what
        assert seconds < 1, what


def test_a_name_that_the_writer_refuses() -> None:
    from flopledger.bundle.archive import Writer

    with pytest.raises(BundleError, match="rename"):
        Writer(io.BytesIO()).add("../x", b"")


def test_two_names_for_one_file_are_refused_when_writing() -> None:
    with pytest.raises(BundleError, match="ignore case"):
        attacks.canonical([("Logs/a", b""), ("logs/A", b"")])


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing"])
def test_what_is_no_file(kind: str, tmp_path: Path) -> None:
    import os

    path = tmp_path / "x.zip"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(BundleError):
        Archive.open(path)
