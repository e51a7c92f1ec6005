"""What one site tells the others: digests, device-seconds, FLOP intervals, windows. No raw data.

``summary.json`` is in every bundle. Identities leave the site only as HMACs under an *audit id*, a
text that the auditor gives to all sites and to nobody else: equal devices get equal names, and who
does not know the audit id cannot try serial numbers or host names out. Without one a public key
stands in: device UUIDs (122 random bits) still cannot be guessed, so they are kept; hosts are left
out, because anybody could try host names.
"""

import hashlib
import hmac
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from flopledger.bundle import strict
from flopledger.bundle.errors import BundleError
from flopledger.bundle.statement import SUMMARY, Table
from flopledger.cases.spec import Kind
from flopledger.digests import SHA256

if TYPE_CHECKING:
    from flopledger.auditing import AuditReport
    from flopledger.estimate import ComputeEstimate
    from flopledger.quantity import Interval
    from flopledger.reconcile import RunAudit
    from profilers.trace import DeviceTrace, Trace

SCHEMA = "flopledger/site-summary/1"
PUBLIC_AUDIT_ID = b"flopledger: no audit id"
MIN_AUDIT_ID = 16  #: characters
MAX_WINDOWS = 256  #: a device's windows are joined over their shortest gaps down to this many
MAX_BYTES = strict.MAX_BYTES
LARGEST = 1e40  #: as in a case file: no figure of this world is larger

#: Inputs whose errors are a run's own. Every other input (priors, conventions, the architecture, the
#: part's peak) may be the same mistake at every site, so its errors are taken to be shared.
OWN_INPUTS = frozenset(
    {"tokens", "samples", "device_seconds", "mfu", "hfu", "rate", "device_throughput"}
)

Figure = Annotated[float, msgspec.Meta(ge=0, le=LARGEST)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Digest = Annotated[str, msgspec.Meta(pattern=f"^{SHA256}$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]  #: unix seconds, up to the year 5138


class Ends(Table, frozen=True):
    """A 90% interval, or a bound with an open end."""

    low: Figure | None
    best: Figure | None
    high: Figure | None


class DeviceWindows(Table, frozen=True):
    """When one device was seen at work, in unix seconds, sorted and apart."""

    id: Digest
    host: Digest | None = None
    windows: Annotated[list[tuple[Time, Time]], msgspec.Meta(max_length=MAX_WINDOWS)] = (
        msgspec.field(default_factory=list)
    )


class RunSummary(Table, frozen=True):
    """One run of one site."""

    name: Text
    kind: Kind
    synthetic_public: bool | None = None
    digest: Digest | None = None  #: of its evidence; ``None``: nothing to tell duplicates by
    stated: bool = False  #: the run has no evidence: the digest is of what the case says of it
    accelerator: Text | None = None
    device_seconds: Ends | None = None
    flop: Ends | None = None
    bound_only: bool = False
    #: the step after which its first attempt goes on; the steps up to it are in another record
    goes_on_after: Annotated[int, msgspec.Meta(ge=1, le=10**15)] | None = None
    #: share of the log variance by input that other sites may be wrong about in the same way; what
    #: is missing from 1 is this run's own
    shared: Annotated[dict[Text, Share], msgspec.Meta(max_length=100)] = msgspec.field(
        default_factory=dict
    )
    devices: Annotated[list[DeviceWindows], msgspec.Meta(max_length=100_000)] = msgspec.field(
        default_factory=list
    )


class SiteSummary(Table, frozen=True):
    """Everything that a merge needs of one site."""

    schema: str
    site: Text
    audit: Digest  #: names the audit id without giving it away
    verdict: str
    runs: Annotated[list[RunSummary], msgspec.Meta(max_length=10_000)]


class Identities:
    """Turns serial numbers and host names into names that only this audit shares."""

    def __init__(self, audit_id: str | None) -> None:
        if audit_id is not None and len(audit_id) < MIN_AUDIT_ID:
            raise BundleError(
                f"--audit-id: {len(audit_id)} characters; it guards host names against guessing, so "
                f"take {MIN_AUDIT_ID} or more random ones (`openssl rand -hex 16`)"
            )
        self.is_secret = audit_id is not None
        self._key = PUBLIC_AUDIT_ID if audit_id is None else audit_id.encode("utf-8")

    def audit(self) -> str:
        """Name the audit."""
        return self._name("audit", b"")

    def device(self, key: str) -> str:
        """Name a device by its UUID."""
        return self._name("device", key.encode())

    def host(self, name: str | None) -> str | None:
        """Name a host; ``None`` where the audit id is public."""
        return self._name("host", name.encode()) if name and self.is_secret else None

    def run(self, digests: Iterable[str]) -> str:
        """Name a run by the digests of its evidence, in any order."""
        return self._name("run", "\n".join(sorted(set(digests))).encode())

    def _name(self, kind: str, content: bytes) -> str:
        return hmac.new(self._key, kind.encode() + b"\0" + content, hashlib.sha256).hexdigest()


def of_report(
    report: "AuditReport", identities: Identities, *, site: str, guessable: bool
) -> SiteSummary:
    """Sum up an audit. ``guessable``: digests of withheld files must not leave the site."""
    return SiteSummary(
        schema=SCHEMA,
        site=site,
        audit=identities.audit(),
        verdict=str(report.verdict),
        runs=[
            _run(report, index, run, identities, guessable=guessable)
            for index, run in enumerate(report.runs)
        ],
    )


def of_record(
    trace: "Trace | None",
    identities: Identities,
    *,
    site: str,
    digests: Iterable[str],
    stated: "Mapping[str, float | None]",
    goes_on_after: int | None = None,
) -> SiteSummary:
    """Sum up a profiled run: device time, windows, and the FLOP that its recorder worked out.

    ``stated["model"]`` is the counted model FLOP, ``stated["high"]`` the most that the devices can
    have executed; ``None`` where the recorder does not know. ``trace`` is ``None`` without telemetry.
    ``goes_on_after`` is the step after which it goes on with what another record holds.
    """
    devices = () if trace is None else trace.devices.values()
    seconds = [float((end - start).sum()) / 1e9 for start, end in _spans(devices)]
    total = math.fsum(seconds)
    parts = {device.device.name for device in devices if device.device.name}
    counted, high = stated.get("model"), stated.get("high")
    flop = None
    if counted:
        flop = Ends(low=counted, best=counted, high=counted)
    elif high:
        flop = Ends(low=None, best=None, high=high)
    run = RunSummary(
        name="recorded run",
        kind="pretraining",
        digest=identities.run(digests),
        accelerator=parts.pop() if len(parts) == 1 else None,
        device_seconds=Ends(low=total, best=total, high=total) if total > 0 else None,
        flop=flop,
        bound_only=not counted,
        goes_on_after=goes_on_after,
        devices=[] if trace is None else windows(trace, identities),
    )
    return SiteSummary(
        schema=SCHEMA, site=site, audit=identities.audit(), verdict="undetermined", runs=[run]
    )


def dumps(summary: SiteSummary) -> bytes:
    """Write a summary."""
    return strict.dumps(msgspec.to_builtins(summary))


def loads(data: bytes) -> SiteSummary:
    """Read a summary of a stranger, or raise ``BundleError`` with the key that cannot be."""
    raw = strict.loads(data, what=SUMMARY, max_bytes=MAX_BYTES)
    try:
        summary = msgspec.convert(raw, SiteSummary)
    except (msgspec.ValidationError, OverflowError) as error:
        raise BundleError(f"{SUMMARY}: {error}") from None
    if summary.schema != SCHEMA:
        raise BundleError(f'{SUMMARY}: schema {summary.schema!r}; this version reads "{SCHEMA}"')
    if summary.verdict not in {"consistent", "needs-explanation", "inconsistent", "undetermined"}:
        raise BundleError(f"{SUMMARY}: verdict {summary.verdict!r} is none")
    names = [run.name for run in summary.runs]
    if len(set(names)) != len(names):
        raise BundleError(f"{SUMMARY}: two runs of one name")
    for run in summary.runs:
        _check_run(run, f"{SUMMARY}: run {run.name!r}")
    return summary


def _check_run(run: RunSummary, what: str) -> None:
    for key, ends in (("flop", run.flop), ("device_seconds", run.device_seconds)):
        if ends is None:
            continue
        known = [end for end in (ends.low, ends.best, ends.high) if end is not None]
        if known != sorted(known):
            raise BundleError(f"{what}: {key}: the ends of an interval must ascend, found {known}")
        if ends.best is not None and None in (ends.low, ends.high):
            raise BundleError(f"{what}: {key}: a best figure needs both ends")
        if ends.best == 0:
            raise BundleError(f"{what}: {key}: 0 is no figure; leave out what is unknown")
    if math.fsum(run.shared.values()) > 1 + 1e-9:
        raise BundleError(f"{what}: shared: shares of the variance add up to more than 1")
    ids = [device.id for device in run.devices]
    if len(set(ids)) != len(ids):
        raise BundleError(f"{what}: a device is listed twice")
    for device in run.devices:
        flat = [end for window in device.windows for end in window]
        if flat != sorted(flat):
            raise BundleError(f"{what}: windows of a device overlap or are out of order")


def windows(trace: "Trace", identities: Identities) -> list[DeviceWindows]:
    """List when each device was seen, rounded outward to milliseconds.

    A partition (MIG) is its own device: two of them on one part at one time are no overlap.
    """
    found = []
    for key, device in trace.devices.items():
        joined = _joined(device)
        if joined:
            named = identities.device(str(key))
            host = identities.host(device.device.node)
            found.append(DeviceWindows(id=named, host=host, windows=joined))
    return sorted(found, key=lambda one: one.id)


def _joined(device: "DeviceTrace") -> list[tuple[float, float]]:
    """Join a device's spans; gaps of up to ten seconds are the sampler's, not the run's."""
    import numpy as np

    start, end = device.spans()
    kept = end > start
    start, end = start[kept], end[kept]
    if not len(start):
        return []
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    gaps = start[1:] - end[:-1]
    limit = 10 * 10**9
    if np.count_nonzero(gaps > limit) >= MAX_WINDOWS:
        limit = int(np.sort(gaps)[-MAX_WINDOWS])
    cuts = np.flatnonzero(gaps > limit)
    firsts, lasts = start[np.r_[0, cuts + 1]], end[np.r_[cuts, len(end) - 1]]
    return [
        (math.floor(a / 1e6) / 1e3, math.ceil(b / 1e6) / 1e3)
        for a, b in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]


def _spans(devices: "Iterable[DeviceTrace]") -> list[Any]:
    return [device.spans() for device in devices if not device.device.key.mig]


def _run(
    report: "AuditReport", index: int, run: "RunAudit", identities: Identities, *, guessable: bool
) -> RunSummary:
    figures = run.figures
    bounds = [one for one in run.estimates if one.is_firm_bound]
    flop = run.combined.flop if run.combined is not None else None
    if flop is None and bounds:
        flop = _bounds(bounds)
    time = figures.device_seconds
    digest, stated = _digest(report, index, run, identities, guessable=guessable)
    return RunSummary(
        name=figures.name,
        kind=figures.kind,  # type: ignore[arg-type]
        synthetic_public=figures.synthetic_public,
        digest=digest,
        stated=stated,
        accelerator=None if run.part is None else run.part.id,
        device_seconds=None if time is None else _ends(time.quantity.interval),
        flop=None if flop is None else _ends(flop),
        bound_only=run.combined is None,
        shared=_shared(run),
        devices=_devices(report, index, identities),
    )


def _digest(
    report: "AuditReport", index: int, run: "RunAudit", identities: Identities, *, guessable: bool
) -> tuple[str | None, bool]:
    """Name the run by its evidence; without evidence, by what the case states of it."""
    if guessable and not identities.is_secret:
        return None, False
    if run.evidence_digests:
        return identities.run(run.evidence_digests.values()), False
    spec = msgspec.to_builtins(report.case.spec.run[index])
    stated = {key: value for key, value in spec.items() if key not in {"name", "sources"}}
    return identities.run([hashlib.sha256(strict.line(stated)).hexdigest()]), True


def _shared(run: "RunAudit") -> dict[str, float]:
    """Split the run's log variance over the inputs that sites may share."""
    variances: dict[str, float] = {}
    everything = 0.0
    for route, weight in () if run.combined is None else run.combined.weights:
        for name, variance in route.log_variance:
            part = weight**2 * variance
            everything += part
            if name not in OWN_INPUTS:
                variances[name] = variances.get(name, 0.0) + part
    if everything <= 0:
        return {}
    # A little less than the quotient, so that shares never add up to more than 1.
    return {
        name: min(part / everything, 1.0) * (1 - 1e-12)
        for name, part in sorted(variances.items())
        if part > 0
    }


def _bounds(bounds: "Sequence[ComputeEstimate]") -> "Interval | None":
    from flopledger.quantity import Interval

    low = max((one.flop.low for one in bounds if one.flop.low is not None), default=None)
    high = min((one.flop.high for one in bounds if one.flop.high is not None), default=None)
    crossed = low is not None and high is not None and low > high
    return None if crossed else Interval(low=low, best=None, high=high)


def _devices(report: "AuditReport", index: int, identities: Identities) -> list[DeviceWindows]:
    from flopledger import logs, telemetry

    evidence = [
        logs.EvidenceFile(path=path, name=name) for name, path in report.case.evidence(index)
    ]
    if not evidence:
        return []
    seen = telemetry.read(logs.read(evidence).telemetry)
    return [] if seen is None else windows(seen.trace, identities)


def _ends(interval: "Interval") -> Ends:
    return Ends(low=interval.low, best=interval.best, high=interval.high)
