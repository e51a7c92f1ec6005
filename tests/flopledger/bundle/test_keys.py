"""Key files: safe to make, clear when wrong, the same as openssl's."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from flopledger import bundle
from flopledger.bundle import BundleError, keys
from flopledger.commands import main


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_modes_do_not_hang_on_the_umask(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        bundle.generate_key(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "flopledger.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "flopledger.pub").stat().st_mode) == 0o644


@pytest.mark.parametrize("there", ["flopledger.key", "flopledger.pub"])
def test_nothing_is_overwritten(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(BundleError, match="exists already"):
        bundle.generate_key(tmp_path)
    assert (tmp_path / there).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "flopledger.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="exists already"):
        bundle.generate_key(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_openssl_reads_ours(tmp_path: Path) -> None:
    bundle.generate_key(tmp_path)
    _openssl(
        "pkey", "-in", str(tmp_path / "flopledger.key"), "-pubout", "-out", str(tmp_path / "p")
    )
    assert (tmp_path / "p").read_bytes() == (tmp_path / "flopledger.pub").read_bytes()


def test_we_read_openssls(tmp_path: Path) -> None:
    secret, public = tmp_path / "k", tmp_path / "p"
    _openssl("genpkey", "-algorithm", "ed25519", "-out", str(secret))
    _openssl("pkey", "-in", str(secret), "-pubout", "-out", str(public))
    key = bundle.load_private(secret)
    assert key.public == bundle.load_public(public)
    assert key.public.verifies(key.sign(b"x"), b"x")
    assert not key.public.verifies(key.sign(b"x"), b"y")


def test_the_id_is_the_digest_of_the_public_file(tmp_path: Path) -> None:
    # openssl pkey -pubin -in flopledger.pub -outform DER | sha256sum
    made = bundle.generate_key(tmp_path)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", str(tmp_path / "flopledger.pub"), "-outform", "DER"],
        check=True, capture_output=True, timeout=60,
    ).stdout  # fmt: skip
    import hashlib

    assert made.id == hashlib.sha256(der).hexdigest()


def test_a_passphrase_locks_the_private_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(keys.PASSPHRASE_VARIABLE, raising=False)
    made = bundle.generate_key(tmp_path, passphrase=b"correct horse")
    path = tmp_path / "flopledger.key"
    assert keys.needs_passphrase(path)
    with pytest.raises(BundleError, match=keys.PASSPHRASE_VARIABLE):
        bundle.load_private(path)
    with pytest.raises(BundleError, match="wrong passphrase"):
        bundle.load_private(path, passphrase=b"battery")
    assert bundle.load_private(path, passphrase=b"correct horse").public == made
    monkeypatch.setenv(keys.PASSPHRASE_VARIABLE, "correct horse")
    assert bundle.load_private(path).public == made


def test_keygen_takes_the_passphrase_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(keys.PASSPHRASE_VARIABLE, "from the environment")
    assert main(["keygen", "--out", str(tmp_path), "--passphrase", "--json"]) == 0
    assert "ENCRYPTED" in (tmp_path / "flopledger.key").read_text()
    assert main(["keygen", "--out", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RSA", ["-pkeyopt", "rsa_keygen_bits:2048"]),
        ("EC", ["-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("X25519", []),
    ],
)
def test_other_kinds_are_named(kind: str, options: list[str], tmp_path: Path) -> None:
    secret, public = tmp_path / "k", tmp_path / "p"
    _openssl("genpkey", "-algorithm", kind, *options, "-out", str(secret))
    _openssl("pkey", "-in", str(secret), "-pubout", "-out", str(public))
    with pytest.raises(BundleError, match="Ed25519"):
        bundle.load_private(secret)
    with pytest.raises(BundleError, match="Ed25519"):
        bundle.load_public(public)


def test_halves_that_are_mixed_up(tmp_path: Path) -> None:
    bundle.generate_key(tmp_path)
    with pytest.raises(BundleError, match="private one"):
        bundle.load_private(tmp_path / "flopledger.pub")
    with pytest.raises(BundleError, match="public one"):
        bundle.load_public(tmp_path / "flopledger.key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        bytes(70_000),
    ],
)
def test_what_is_no_key(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    for load in (bundle.load_private, bundle.load_public):
        with pytest.raises(BundleError):
            load(path)


def test_a_private_key_does_not_print_itself(key: bundle.PrivateKey) -> None:
    assert "BEGIN" not in repr(key)
    assert key.public.id[:16] in repr(key)
