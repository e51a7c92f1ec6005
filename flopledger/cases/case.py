"""The case file: what is claimed, about which models, and what is known of each run.

A case is TOML without code. Unknown keys are refused, since a misspelt key would silently drop a
figure; every message names the file, the key, what was found and how to mend it.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from flopledger import foreign_toml
from flopledger.cases import amendments
from flopledger.cases.amendments import Amendment
from flopledger.cases.errors import explain
from flopledger.cases.paths import inside, matching
from flopledger.cases.release import check as check_release
from flopledger.cases.spec import (
    PASS_MODELS,
    SCHEMA,
    CaseSpec,
    ModelSpec,
    Number,
    NumberSpec,
    RunSpec,
    Table,
)
from flopledger.errors import CaseError

#: No token count, hour, parameter count or FLOP total of this world lies outside.
SMALLEST, LARGEST = 1e-9, 1e40
MAX_BYTES = 1 << 20  #: a case is written by hand; anything larger is not one
MAX_RUNS = 500  #: each keeps the draws of its estimates, some megabytes


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditCase:
    """A checked case: its contents, where it lies, and the digest that identifies it."""

    spec: CaseSpec
    path: Path  #: the file, resolved
    name: str  #: the file as the user named it
    sha256: str  #: of the file's bytes
    claim_text: str | None  #: the claimed figure as it was typed, which keeps its digits
    allow_outside: bool = False
    amendments: tuple[Amendment, ...] = ()  #: corrections, already in ``spec``, in order

    @classmethod
    def load(
        cls, path: str | Path, *, allow_outside: bool = False, check_files: bool = True
    ) -> "AuditCase":
        """Read and check the case at ``path``; without ``check_files`` what it names may be missing.

        Raises ``CaseError`` if the file is missing, is no TOML, breaks the schema, or names files
        that are missing or lie outside its folder (``allow_outside`` lifts the latter).
        """
        where = Path(path)
        content = _read(where)
        text = _decode(where, content)
        sha256 = hashlib.sha256(content).hexdigest()
        corrections = amendments.load(where, name=str(path), sha256=sha256)
        case = cls(
            spec=parse(text, name=str(path), corrections=corrections),
            path=where.resolve(),
            # Reports name the case, and the same case from another folder makes the same report: where
            # it lies on this machine is nobody's business.
            name=where.name,
            sha256=sha256,
            claim_text=amendments.claim_text(corrections, _claim_text(text)),
            allow_outside=allow_outside,
            amendments=corrections,
        )
        if check_files:
            case._check_files()
        return case

    @classmethod
    def of_options(cls, content: dict[str, Any], folder: Path | None = None) -> "AuditCase":
        """Make a case of figures given on the command line; paths in it are the user's own.

        ``folder``: what they are relative to; without it the current one.
        """
        whole = {"schema": SCHEMA, "title": "Estimate from options"} | content
        spec = checked(whole, name="options")
        return cls(
            spec=spec,
            path=(Path.cwd() if folder is None else folder) / "options",
            name="options",
            sha256=hashlib.sha256(msgspec.json.encode(whole)).hexdigest(),
            claim_text=None,
            allow_outside=True,
        )

    def without_claim(self) -> "AuditCase":
        """Give the same case with nothing claimed."""
        return replace(self, spec=msgspec.structs.replace(self.spec, claim=None), claim_text=None)

    @property
    def folder(self) -> Path:
        """The folder that the case's paths are relative to."""
        return self.path.parent

    def file(self, name: str, *, key: str) -> Path:
        """Resolve one file that the case names under ``key``, or raise ``CaseError``."""
        return inside(
            self.folder, name, where=f"{self.name}: {key}", allow_outside=self.allow_outside
        )

    def evidence(self, index: int) -> list[tuple[str, Path]]:
        """List the evidence of run ``index`` as (name in the case's folder, resolved path)."""
        found: dict[str, Path] = {}
        for place, pattern in enumerate(self.spec.run[index].evidence):
            where = f"{self.name}: run[{index}].evidence[{place}]"
            found |= matching(self.folder, pattern, where=where, allow_outside=self.allow_outside)
        return list(found.items())

    def _check_files(self) -> None:
        for key, model in self.spec.model.items():
            if model.config is not None:
                self.file(model.config, key=f"model.{key}.config")
        for index in range(len(self.spec.run)):
            self.evidence(index)


def parse(text: str, *, name: str, corrections: tuple[Amendment, ...] = ()) -> CaseSpec:
    """Turn the text of a case into its contents; ``name`` is the file for messages."""
    try:
        raw = foreign_toml.loads(text)
    except ValueError as error:
        raise CaseError(f"{name}: not valid TOML: {error}") from None
    return checked(amendments.apply(raw, corrections, name=name), name=name)


def checked(raw: dict[str, Any], *, name: str) -> CaseSpec:
    """Turn the values of a case into its contents, or raise ``CaseError``."""
    try:
        spec = msgspec.convert(raw, CaseSpec)
    except msgspec.ValidationError as error:
        raise CaseError(explain(name, raw, str(error))) from None
    _check(name, spec)
    return spec


def _read(path: Path) -> bytes:
    if not path.exists():
        raise CaseError(f"{path}: no such file; `flopledger case new` writes one to start from")
    if path.is_dir():
        raise CaseError(
            f"{path}: a folder; a case is a TOML file, in which a run's folder is named as evidence "
            f"(without a claim: `flopledger estimate {path}`)"
        )
    if not path.is_file():
        raise CaseError(f"{path}: not a regular file; a case is a TOML file")
    if path.stat().st_size > MAX_BYTES:
        raise CaseError(f"{path}: larger than {MAX_BYTES} bytes, so not a case written by hand")
    return path.read_bytes()


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CaseError(
            f"{path}: not UTF-8 text (byte {error.start}); is it a case file?"
        ) from None


def _claim_text(text: str) -> str | None:
    """Give the claimed figure as typed, since a float no longer knows its digits."""
    flop = foreign_toml.loads(text, parse_float=str).get("claim", {}).get("flop")
    return str(flop) if isinstance(flop, str | int) else None


def _check(name: str, spec: CaseSpec) -> None:
    if spec.schema != SCHEMA:
        raise CaseError(f'{name}: schema: found {spec.schema!r}, this tool reads "{SCHEMA}"')
    if not spec.run:
        raise CaseError(f"{name}: no [[run]]: say at least which run is audited")
    if len(spec.run) > MAX_RUNS:
        raise CaseError(
            f"{name}: {len(spec.run):,} runs; a case holds at most {MAX_RUNS}: add runs of one kind up, or "
            "seal several cases and merge them"
        )
    for key, number in _numbers(spec):
        _check_number(f"{name}: {key}", number)
    for key, model in spec.model.items():
        _check_model(f"{name}: model.{key}", model)
    names: set[str] = set()
    for index, run in enumerate(spec.run):
        where = f"{name}: run[{index}]"
        if run.name in names:
            raise CaseError(f"{where}.name: {run.name!r} is used twice; each run needs its own")
        names.add(run.name)
        _check_run(where, run, spec)
    if spec.release is not None:
        check_release(f"{name}: release", spec.release)
        _check_sources(f"{name}: release", spec.release, spec.release.sources)


def _check_model(where: str, model: ModelSpec) -> None:
    if model.config is not None and model.architecture is not None:
        raise CaseError(f"{where}: both config and architecture are given; keep one of them")
    if model.config is None and model.architecture is None and model.parameters is None:
        raise CaseError(f"{where}: empty; give config, architecture or parameters")
    _check_sources(where, model, model.sources)


def _check_run(where: str, run: RunSpec, spec: CaseSpec) -> None:
    if run.model is not None and run.model not in spec.model:
        known = ", ".join(sorted(spec.model)) or "none"
        raise CaseError(f"{where}.model: no [model.{run.model}] in this case (known: {known})")
    for key in PASS_MODELS:
        name = getattr(run, key)
        if name is not None and name not in spec.model:
            known = ", ".join(sorted(spec.model)) or "none"
            raise CaseError(f"{where}.{key}: no [model.{name}] in this case (known: {known})")
    if run.rollout_tokens is not None and run.model is None:
        raise CaseError(f"{where}.rollout_tokens: needs the run's model, which generated them")
    if run.telemetry_zone is not None:
        _check_zone(f"{where}.telemetry_zone", run.telemetry_zone)
    if run.sequence_length is not None and run.sequence_length < 1:
        raise CaseError(f"{where}.sequence_length: found {run.sequence_length}, must be at least 1")
    _check_possible(where, run)
    if run.tokens is not None and run.samples is not None and run.tokens_per_sample is not None:
        raise CaseError(f"{where}: tokens and samples x tokens_per_sample both given; keep one")
    _check_sources(where, run, run.sources)


def _check_possible(where: str, run: RunSpec) -> None:
    """Refuse figures that nothing in the world has, and that a slip of units explains."""
    if run.pue is not None and (most := _most(run.pue)) < 1:
        raise CaseError(
            f"{where}.pue: found {most:g}, must be at least 1: all of a site's energy over that of its "
            "computers"
        )
    if run.accelerator_count is not None and (most := _most(run.accelerator_count)) < 1:
        raise CaseError(
            f"{where}.accelerator_count: found {most:g}, must be at least 1; the part of a device's time "
            "that a run had is stated in accelerator_hours"
        )


def _most(number: Number) -> float:
    """The largest figure that a number of the case leaves open."""
    if isinstance(number, tuple):
        return number[1]
    if not isinstance(number, NumberSpec):
        return number
    if number.value is not None and number.relative is not None:
        return number.value * (1 + number.relative)
    return math.inf if number.at_most is None else number.at_most


def _check_zone(where: str, name: str) -> None:
    from profilers import ProfilersError
    from profilers.importers import stamps

    try:
        stamps.zone(name)
    except ProfilersError as error:
        raise CaseError(f"{where}: {error}") from None


def _check_sources(where: str, table: Table, sources: dict[str, str]) -> None:
    strangers = sorted(set(sources) - set(table.__struct_fields__))
    if strangers:
        raise CaseError(f"{where}.sources: {strangers[0]!r} is no key of this table")


def _numbers(spec: CaseSpec) -> list[tuple[str, Number]]:
    """List every number of the case with its key."""
    tables: list[tuple[str, Table | None]] = [
        ("claim", spec.claim),
        ("base_model", spec.base_model),
        *((f"model.{key}", model) for key, model in spec.model.items()),
        *((f"run[{index}]", run) for index, run in enumerate(spec.run)),
    ]
    found: list[tuple[str, Number]] = []
    for prefix, table in tables:
        if table is None:
            continue
        for field in table.__struct_fields__:
            value = getattr(table, field)
            if isinstance(value, float | tuple | NumberSpec):
                found.append((f"{prefix}.{field}", value))
    return found


def _check_number(where: str, number: Number) -> None:
    if isinstance(number, NumberSpec):
        given = {key for key in number.__struct_fields__ if getattr(number, key) is not None}
        if given not in ({"value", "relative"}, {"at_least"}, {"at_most"}):
            raise CaseError(
                f"{where}: found keys {sorted(given)}; a number is exact, [low, high], "
                "{ value, relative }, { at_least } or { at_most }"
            )
        values = [getattr(number, key) for key in sorted(given - {"relative"})]
        if number.relative is not None and not 0 <= number.relative < 10:
            raise CaseError(f"{where}.relative: found {number.relative:g}; 0.05 means 5%")
    else:
        values = list(number) if isinstance(number, tuple) else [number]
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise CaseError(
                f"{where}: found {value:g}; must be finite and above 0 (leave out what is unknown)"
            )
        if not SMALLEST <= value <= LARGEST:
            raise CaseError(
                f"{where}: found {value:g}; no such figure exists ({SMALLEST:g} to {LARGEST:g})"
            )
    if len(values) == 2 and values[0] > values[1]:
        raise CaseError(f"{where}: found [{values[0]:g}, {values[1]:g}]; a range is [low, high]")


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a case file, for editors that complete TOML."""
    schema: dict[str, Any] = msgspec.json.schema(CaseSpec)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
