"""Small cases, keys and bundles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flopledger import bundle
from flopledger.bundle import statement, writing
from flopledger.bundle.sealing import Choices
from flopledger.cases.case import AuditCase

CASE = """\
schema = "flopledger/case/1"
title = "Small model at {site}"

[claim]
flop = 6.3e21
basis = "model"
statement = "trained with 6.3e21 FLOP"

[model.base]
parameters = 1.037e9

[[run]]
name = "pre-training"
model = "base"
tokens = {tokens}
sequence_length = 2048
precision = "bf16"
accelerator = "NVIDIA A100-SXM4-80GB"
accelerator_hours = 13457.0
evidence = ["logs/*.txt"]
"""
LOG = "a plain note of the operators at {site}\n"

MakeCase = Callable[..., AuditCase]


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> bundle.PrivateKey:
    return _key(tmp_path_factory)


@pytest.fixture(scope="session")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> bundle.PrivateKey:
    return _key(tmp_path_factory)


def _key(factory: pytest.TempPathFactory) -> bundle.PrivateKey:
    folder = factory.mktemp("keys")
    bundle.generate_key(folder)
    return bundle.load_private(folder / "flopledger.key")


@pytest.fixture
def make_case(tmp_path: Path) -> MakeCase:
    """Write a case with one log into a folder of its own, and load it."""

    def make(site: str = "A", tokens: str = "1.013e12", text: str = CASE) -> AuditCase:
        folder = tmp_path / f"site-{site}"
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        (folder / "logs" / "note.txt").write_text(LOG.format(site=site))
        path = folder / "case.toml"
        path.write_text(text.replace("{site}", site).replace("{tokens}", tokens))
        return AuditCase.load(path)

    return make


@pytest.fixture
def sealed(make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path) -> Path:
    """Give a bundle of a whole audit, without the page (which is 5 MB of drawing library)."""
    out = tmp_path / "sealed.zip"
    bundle.seal_case(make_case(), keys=[key], out=out, trace=False, choices=Choices(html=False))
    return out


@pytest.fixture
def tiny(key: bundle.PrivateKey, tmp_path: Path) -> Path:
    """Give the smallest bundle there is: two files and a seal."""
    out = tmp_path / "tiny.zip"
    predicate = statement.Predicate(
        schema=statement.SCHEMA,
        kind="record",
        title="t",
        tool=statement.Tool(version="0", data_digests={}, environment={}),
    )
    writing.write(out, {"record/a": b"1 2 3\n"}, predicate, [key])
    return out
