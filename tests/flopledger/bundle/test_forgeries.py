"""Seals that are not what they seem: each refused, soon, with a sentence and without a traceback."""

import json
import time
import tracemalloc
from pathlib import Path

import pytest

from flopledger import bundle
from flopledger.bundle import BundleError, keys, statement, writing
from flopledger.commands import main
from tests.flopledger.bundle import attacks

_FIELD = 2**255 - 19


@pytest.fixture
def earlier(key: bundle.PrivateKey, tmp_path: Path) -> bytes:
    out = tmp_path / "earlier.zip"
    predicate = statement.Predicate(
        schema=statement.SCHEMA, kind="record", title="e",
        tool=statement.Tool(version="0", data_digests={}, environment={}),
    )  # fmt: skip
    writing.write(out, {"record/a": b"0\n"}, predicate, [key])
    return out.read_bytes()


def test_no_forgery_verifies(
    tiny: Path, earlier: bytes, key: bundle.PrivateKey, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    good = tiny.read_bytes()
    assert bundle.verify(tiny, trusted=[key.public]).ok
    bad = tmp_path / "bad.zip"
    seen = set()
    for what, content in attacks.forgeries(good, earlier, key, other_key):
        bad.write_bytes(content)
        began = time.process_time()
        for trusted in ((), (key.public,)):
            found = bundle.verify(bad, trusted=trusted)
            assert not found.ok, what
            assert found.exit_code == 1, what
            assert found.statement is None or found.intact, what
            assert all(one.message for one in found.problems), what
        assert time.process_time() - began < 2, what
        seen.add(what)
    assert len(seen) > 25


def test_stripped_signatures_are_no_seal(
    tiny: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """Without its signatures a bundle is whole and unsigned: 3, and 1 where a key was asked for."""
    files = dict(attacks.files_of(tiny.read_bytes()))
    out = tmp_path / "stripped.zip"
    out.write_bytes(attacks._resealed(files, files[statement.MANIFEST], (), {}))
    assert bundle.verify(out).exit_code == 3
    assert bundle.verify(out).signers == ()
    assert bundle.verify(out, trusted=[key.public]).exit_code == 1


def test_weak_points_are_those_of_small_order(tmp_path: Path) -> None:
    """On -x^2 + y^2 = 1 + d x^2 y^2 a point of order 8 has d y^4 + 2 y^2 = 1 (mod p)."""
    d = -121665 * pow(121666, -1, _FIELD) % _FIELD
    y = keys._ORDER_8
    assert (d * pow(y, 4, _FIELD) + 2 * y * y) % _FIELD == 1
    for height in (*keys._WEAK, _FIELD, _FIELD + 1):
        for sign in (0, 1 << 255):
            raw = (height | sign).to_bytes(32, "little")
            with pytest.raises(BundleError, match=r"anybody can make|no public key"):
                keys.parse_public(attacks._pem(raw), "weak")
    path = tmp_path / "weak.pub"
    path.write_bytes(attacks._pem(attacks._weak_key()))
    with pytest.raises(BundleError, match="anybody can make"):
        keys.load_public(path)


def test_a_weak_key_would_verify_anything() -> None:
    """The reason for the check: the library itself takes such a signature."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    point = attacks._weak_key()
    Ed25519PublicKey.from_public_bytes(point).verify(point + bytes(32), b"whatever it is")


def _of_facts(many: int, key: bundle.PrivateKey, out: Path) -> int:
    """Seal an audit of so many facts; gives the length of its document."""
    fact = {
        "name": "tokens", "value": 1, "unit": "tokens", "file": "logs/a.txt",
        "locator": "line 1", "grade": "log",
    }  # fmt: skip
    facts = [fact | {"value": number} for number in range(many)]
    told = json.dumps({"schema": "flopledger/audit/1", "facts": facts}).encode()
    predicate = statement.Predicate(
        schema=statement.SCHEMA, kind="audit", title="many", verdict="consistent",
        tool=statement.Tool(version="0", data_digests={}, environment={}),
    )  # fmt: skip
    writing.write(out, {statement.AUDIT: told, "case/case.toml": b"x"}, predicate, [key])
    return len(told)


def test_a_hundred_thousand_facts(key: bundle.PrivateKey, tmp_path: Path) -> None:
    """As many as a document may hold: read, compared and told within bounds."""
    many, few = tmp_path / "many.zip", tmp_path / "few.zip"
    assert 10 << 20 < _of_facts(100_000, key, many) < 16 << 20
    began = time.process_time()
    found = bundle.verify(many, recompute=True)
    assert time.process_time() - began < 10
    assert found.ok
    assert found.exit_code == 3  # no options: nothing to repeat, and said
    # Watching memory makes everything slower, and memory grows with the document: a tenth will do.
    length = _of_facts(10_000, key, few)
    tracemalloc.start()
    bundle.verify(few, recompute=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * length


@pytest.mark.parametrize("kind", ["RSA", "EC", "private and encrypted", "text"])
def test_a_key_of_another_kind_on_the_command_line(
    kind: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.pub"
    path.write_bytes(attacks._other_keys()[kind])
    assert main(["verify", str(tiny), "--key", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "other.pub" in error
    assert "Traceback" not in error
