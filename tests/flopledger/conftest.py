"""Shorthand for auditing a case that is written in the test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase

Audit = Callable[..., AuditReport]


@pytest.fixture
def run_audit(tmp_path: Path) -> Audit:
    """Write a case, audit it without tracing, give the report."""

    def run(text: str, **options: object) -> AuditReport:
        path = tmp_path / "case.toml"
        path.write_text(f'schema = "flopledger/case/1"\ntitle = "t"\n{text}')
        return audit(AuditCase.load(path), trace=False, **options)  # type: ignore[arg-type]

    return run
