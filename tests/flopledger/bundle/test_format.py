"""The published format: what the page says, other tools can do; schemas are those of the code."""

import json
import re
import subprocess
import zipfile
from pathlib import Path

import jsonschema
import pytest

from flopledger import bundle
from flopledger.bundle import schema, writing
from tests.flopledger.bundle import attacks


def _recipe(root: Path) -> str:
    page = (root / "docs/reference/evidence-format.md").read_text()
    found = re.search(r"<!-- recipe: .*?-->\n```sh\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def _run(
    script: str, bundle_: Path, signer: Path, folder: Path
) -> subprocess.CompletedProcess[str]:
    inside = folder / "unpacked"
    inside.mkdir()
    return subprocess.run(
        ["bash", "-c", "set -o pipefail\n" + script], cwd=inside, capture_output=True, text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "BUNDLE": str(bundle_), "SIGNER": str(signer)},
    )  # fmt: skip


@pytest.fixture
def signer(key: bundle.PrivateKey, tmp_path: Path) -> Path:
    path = tmp_path / "signer.pub"
    path.write_bytes(key.public.pem)
    return path


def test_the_recipe_verifies(root: Path, sealed: Path, signer: Path, tmp_path: Path) -> None:
    done = _run(_recipe(root), sealed, signer, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    assert done.stdout.endswith("verified\n")


def test_the_recipe_verifies_with_several_signers(
    root: Path, sealed: Path, signer: Path, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    from flopledger.bundle.sealing import countersign

    both = tmp_path / "both.zip"
    countersign(sealed, keys=[other_key], out=both)
    assert _run(_recipe(root), both, signer, tmp_path).returncode == 0


@pytest.mark.parametrize("what", ["content", "manifest", "extra", "missing", "stranger"])
def test_the_recipe_finds_changes(
    what: str, root: Path, sealed: Path, signer: Path, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    files = dict(attacks.files_of(sealed.read_bytes()))
    if what == "content":
        files["case/logs/note.txt"] = b"other\n"
    elif what == "manifest":
        files["manifest.json"] = files["manifest.json"].replace(b"consistent", b"consistenT")
    elif what == "extra":
        files["case/logs/more.txt"] = b"more\n"
    elif what == "missing":
        del files["case/logs/note.txt"]
    else:
        signer.write_bytes(other_key.public.pem)
    sealed.write_bytes(attacks.zipped(list(files.items())))
    assert _run(_recipe(root), sealed, signer, tmp_path).returncode != 0


def test_the_recipe_inside_the_bundle(sealed: Path, signer: Path, tmp_path: Path) -> None:
    lines = [line for line in writing.readme().decode().splitlines() if line.startswith("  ")]
    start = next(n for n, line in enumerate(lines) if "unzip" in line)
    script = "set -eu\n" + "\n".join(lines[start:])
    script = script.replace("BUNDLE.zip", '"$BUNDLE"').replace("SIGNER.pub", '"$SIGNER"')
    script = script.replace("/tmp/", f"{tmp_path}/")
    done = _run(script, sealed, signer, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("training-compute-audit-1", schema.predicate),
        ("site-summary-1", schema.site_summary),
    ],
)
def test_published_schemas_are_those_of_the_code(name: str, made: object, root: Path) -> None:
    """Write them anew with: python -m flopledger.bundle.schema docs/reference"""
    path = root / "docs/reference" / f"{name}.schema.json"
    assert json.loads(path.read_text()) == made()  # type: ignore[operator]


def test_what_is_sealed_follows_the_schemas(sealed: Path, root: Path) -> None:
    with zipfile.ZipFile(sealed) as archive:
        predicate = json.loads(archive.read("manifest.json"))["predicate"]
        summary = json.loads(archive.read("summary.json"))
        audit = json.loads(archive.read("report/audit.json"))
    jsonschema.validate(predicate, schema.predicate())
    jsonschema.validate(summary, schema.site_summary())
    jsonschema.validate(
        audit, json.loads((root / "docs/reference/audit-1.schema.json").read_text())
    )


def test_pae_as_the_protocol_prints_it() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, "Test Vectors"
    from flopledger.bundle.envelope import pae

    made = pae(b"http://example.com/HelloWorld", b"hello world")
    assert made == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
