"""A second signature through Sigstore: made by the real library, against a stand-in on loopback."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flopledger import bundle
from flopledger.bundle import BundleError, transparency
from flopledger.bundle.transparency import Expected
from flopledger.commands import main
from tests.flopledger.bundle.conftest import MakeCase

WHO = "auditor@example.org"


@pytest.fixture
def sealed(make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path) -> Path:
    from flopledger.bundle.sealing import Choices

    out = tmp_path / "evidence.zip"
    bundle.seal_case(make_case("A"), keys=[key], out=out, trace=False, choices=Choices(html=False))
    return out


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Path]]:
    pytest.importorskip("sigstore", reason="NOT CHECKED: sigstore is not installed")
    from tests.flopledger.bundle import sigstore_stand_in

    with sigstore_stand_in.serving(WHO) as (stand_in, trust):
        path = tmp_path / "trust.json"
        path.write_text(json.dumps(trust))
        monkeypatch.setenv(transparency.TOKEN_VARIABLE, sigstore_stand_in.token(WHO))
        yield stand_in, path


def _expected(trust: Path, **changes: Any) -> Expected:
    values: dict[str, Any] = {"identity": WHO, "issuer": "https://issuer.example", "trust": trust}
    return Expected(**values | changes)


def test_signed_and_checked(sealed: Path, instance: tuple[Any, Path]) -> None:
    stand_in, trust = instance
    before = sealed.read_bytes()
    made = transparency.sign(sealed, trust=trust)
    assert made.name == "evidence.zip.sigstore.json"
    assert sealed.read_bytes() == before
    found = bundle.verify(sealed, sigstore=_expected(trust))
    assert found.ok, found.problems
    assert found.trusted
    assert found.witness is not None
    assert (found.witness.identity, found.witness.log_index) == (WHO, 0)
    assert found.witness.integrated_time == int(stand_in.now.timestamp())
    assert not [note for note in found.notes if "untrusted" in note]
    # Of the manifest only its digest went out, which is the bundle's id.
    (sent,) = stand_in.bodies
    assert sent["kind"] == "hashedrekord"
    assert sent["spec"]["data"]["hash"]["value"] == found.id
    assert "evidence" not in json.dumps(sent)


def test_somebody_else_is_refused(sealed: Path, instance: tuple[Any, Path]) -> None:
    _, trust = instance
    transparency.sign(sealed, trust=trust)
    for wrong in ({"identity": "mallory@example.org"}, {"issuer": "https://other.example"}):
        found = bundle.verify(sealed, sigstore=_expected(trust, **wrong))
        assert [one.code for one in found.problems] == ["sigstore"]
        assert found.exit_code == 1
        assert found.statement is None
        assert not found.trusted


def test_another_trust_root_is_refused(
    sealed: Path, instance: tuple[Any, Path], tmp_path: Path
) -> None:
    from tests.flopledger.bundle import sigstore_stand_in

    _, trust = instance
    transparency.sign(sealed, trust=trust)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(sigstore_stand_in.StandIn().trust("http://127.0.0.1:9")))
    assert bundle.verify(sealed, sigstore=_expected(other)).exit_code == 1
    root = tmp_path / "root.json"  # a bare trusted root is taken, too
    root.write_text(json.dumps(json.loads(trust.read_text())["trustedRoot"]))
    assert bundle.verify(sealed, sigstore=_expected(root)).exit_code == 0


def test_a_signature_over_another_bundle_is_refused(
    sealed: Path, instance: tuple[Any, Path], key: bundle.PrivateKey, make_case: MakeCase
) -> None:
    from flopledger.bundle.sealing import Choices

    _, trust = instance
    transparency.sign(sealed, trust=trust)
    other = sealed.with_name("other.zip")
    bundle.seal_case(
        make_case("B"), keys=[key], out=other, trace=False, choices=Choices(html=False)
    )
    mine = _expected(trust, attestation=transparency.beside(sealed))
    assert bundle.verify(other, sigstore=mine).exit_code == 1


def test_every_altered_word_of_it_is_refused(sealed: Path, instance: tuple[Any, Path]) -> None:
    _, trust = instance
    made = transparency.sign(sealed, trust=trust)
    whole = json.loads(made.read_text())

    def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in items:
            if isinstance(value, dict | list):
                yield from leaves(value, (*path, name))
            else:
                yield (*path, name)

    survived = []
    for path in leaves(whole):
        altered = json.loads(made.read_text())
        node = altered
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = "7" if str(node[path[-1]]).isdigit() else "QUJD"
        made.write_text(json.dumps(altered))
        if bundle.verify(sealed, sigstore=_expected(trust)).ok:
            survived.append(".".join(str(part) for part in path))
        made.write_text(json.dumps(whole))
    assert survived == []


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"mediaType": "x"}', b"{" * 100_000, b"\xff\xfe", b"null"]
)
def test_a_file_that_is_none_is_refused(
    sealed: Path, instance: tuple[Any, Path], content: bytes
) -> None:
    _, trust = instance
    transparency.beside(sealed).write_bytes(content)
    found = bundle.verify(sealed, sigstore=_expected(trust))
    assert [one.code for one in found.problems] == ["sigstore"]
    transparency.beside(sealed).unlink()
    found = bundle.verify(sealed, sigstore=_expected(trust))
    assert "cannot be read" in found.problems[0].message


def test_an_unsigned_bundle_is_vouched_for(
    make_case: MakeCase, instance: tuple[Any, Path], tmp_path: Path
) -> None:
    from flopledger.auditing import audit
    from flopledger.bundle.sealing import Choices

    _, trust = instance
    out = tmp_path / "unsigned.zip"
    report = audit(make_case("A"), trace=False)
    bundle.seal_report(report, keys=[], out=out, unsigned=True, choices=Choices(html=False))
    assert bundle.verify(out).exit_code == 3
    transparency.sign(out, trust=trust)
    assert bundle.verify(out, sigstore=_expected(trust)).exit_code == 0


def test_the_verbs(
    sealed: Path, instance: tuple[Any, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, trust = instance
    assert main(["seal", str(sealed), "--sigstore", "--sigstore-trust", str(trust)]) == 0
    assert "evidence.zip.sigstore.json" in capsys.readouterr().out
    assert main(["verify", str(sealed)]) == 0
    assert "--sigstore-identity" in capsys.readouterr().out  # it lies there, unasked
    asked = ["verify", str(sealed), "--sigstore-trust", str(trust), "--sigstore-identity", WHO]
    assert main(asked) == 2
    assert "--sigstore-issuer is missing" in capsys.readouterr().err
    assert main([*asked, "--sigstore-issuer", "https://issuer.example"]) == 0
    assert f"signed through Sigstore by {WHO}" in capsys.readouterr().out
    assert main([*asked, "--sigstore-issuer", "https://issuer.example", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trusted"] is True
    assert told["sigstore"]["identity"] == WHO
    assert main([*asked, "--sigstore-issuer", "https://other.example"]) == 1


def test_public_signing_is_announced(
    sealed: Path, instance: tuple[Any, Path], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(transparency, "sign", lambda bundle, trust: transparency.beside(bundle))
    assert main(["seal", str(sealed), "--sigstore"]) == 0
    assert "public log for ever" in capsys.readouterr().err


def test_what_was_signed_by_others_holds(tmp_path: Path) -> None:
    """The library's own production trust root is found without a network."""
    pytest.importorskip("sigstore", reason="NOT CHECKED: sigstore is not installed")
    from sigstore.verify import Verifier

    Verifier(trusted_root=transparency._root(None))


def test_without_the_package(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sigstore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Nowhere(), *sys.meta_path])
    digest = hashlib.sha256(sealed.read_bytes()).hexdigest()
    asked = ["--sigstore-identity", WHO, "--sigstore-issuer", "https://issuer.example"]
    for command in (["seal", str(sealed), "--sigstore"], ["verify", str(sealed), *asked]):
        assert main(command) == 2
        assert "pip install 'flopledger[sigstore]'" in capsys.readouterr().err
    assert hashlib.sha256(sealed.read_bytes()).hexdigest() == digest
    with pytest.raises(BundleError, match="pip install"):
        transparency.sign(sealed)
    assert main(["verify", str(sealed)]) == 0  # who asks for none needs none


class _Nowhere:
    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "sigstore":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
