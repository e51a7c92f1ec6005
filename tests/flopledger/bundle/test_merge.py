"""Federated audits: sums over sites that are wrong, hostile, doubled, nested and in any order."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopledger import bundle
from flopledger.bundle import BundleError, counted_once, statement, summary, totals, writing
from flopledger.bundle.counted_once import Part
from flopledger.bundle.members import MAX_FLOP_PER_DEVICE_SECOND
from flopledger.bundle.summary import DeviceWindows, Ends, Identities, RunSummary
from flopledger.commands import main
from flopledger.quantity import Interval
from tests.flopledger.bundle import attacks
from tests.flopledger.bundle.conftest import MakeCase

Site = Callable[..., Path]
AUDIT = Identities(None).audit()


def _hex(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def _run(name: str = "run", **changes: Any) -> dict[str, Any]:
    flop = {"low": 0.9e22, "best": 1e22, "high": 1.2e22}
    return {"name": name, "kind": "pretraining", "flop": flop, **changes}


@pytest.fixture
def site(key: bundle.PrivateKey, tmp_path: Path) -> Site:
    """Seal a site's summary, as honest or as broken as it is given."""

    def make(name: str, *runs: dict[str, Any], raw: bytes | None = None, **changes: Any) -> Path:
        told = {
            "schema": summary.SCHEMA, "site": name, "audit": AUDIT, "verdict": "consistent",
            "runs": list(runs or [_run(digest=_hex(name))]), **changes,
        }  # fmt: skip
        out = tmp_path / f"{name}.zip"
        predicate = statement.Predicate(
            schema=statement.SCHEMA, kind="audit", title=name, verdict="consistent",
            tool=statement.Tool(version="0", data_digests={}, environment={}),
        )  # fmt: skip
        content = json.dumps(told).encode() if raw is None else raw
        writing.write(out, {statement.SUMMARY: content}, predicate, [key])
        return out

    return make


def _merged(paths: list[Path], out: Path, **options: Any) -> bundle.Merged:
    return bundle.merge(paths, out=out, **options)


def test_two_cases(make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path) -> None:
    from flopledger.bundle.sealing import Choices

    paths = []
    for name, tokens in (("A", "1.013e12"), ("B", "2.026e12")):
        paths.append(tmp_path / f"{name}.zip")
        bundle.seal_case(
            make_case(name, tokens), keys=[key], out=paths[-1], trace=False,
            choices=Choices(html=False),
        )  # fmt: skip
    done = _merged(paths, tmp_path / "all.zip")
    singles = [bundle.verify(path).audit["combined"]["flop"] for path in paths]  # type: ignore[index]
    assert done.total is not None
    assert done.total.best == math.fsum(one["best"] for one in singles)
    assert sum(one["low"] for one in singles) <= done.total.low <= done.total.best  # type: ignore[operator]
    assert done.total.best <= done.total.high <= sum(one["high"] for one in singles)  # type: ignore[operator]
    assert {one["id"] for one in done.result["regimes"]} >= {"eu-systemic-risk-1e25"}
    checked = bundle.verify(tmp_path / "all.zip", trusted=[key.public])
    assert checked.ok
    assert [leaf.title for leaf in checked.tree[0].leaves()] != []


def test_one_site_alone_keeps_its_interval(site: Site, tmp_path: Path) -> None:
    done = _merged([site("a", _run(shared={"utilisation": 0.3}))], tmp_path / "m.zip")
    assert done.total is not None
    assert done.total.low == pytest.approx(0.9e22, rel=1e-12)
    assert done.total.best == 1e22
    assert done.total.high == pytest.approx(1.2e22, rel=1e-12)


def test_shared_errors_add_linearly_and_own_ones_in_quadrature(site: Site, tmp_path: Path) -> None:
    everything = {"utilisation": 1.0}
    paths = [site(name, _run(digest=_hex(name), shared=everything)) for name in "ab"]
    shared = _merged(paths, tmp_path / "m.zip").total
    # 2 x 1e22 + 2 x 0.2e22 = 2.4e22; 2 x 1e22 - 2 x 0.1e22 = 1.8e22
    assert shared is not None
    assert (shared.low, shared.high) == (pytest.approx(1.8e22), pytest.approx(2.4e22))
    own = _merged([site(name, _run(digest=_hex(name))) for name in "cd"], tmp_path / "n.zip").total
    # 2e22 + sqrt(2) x 0.2e22
    assert own is not None
    assert own.high == pytest.approx(2e22 + math.sqrt(2) * 0.2e22)
    other = [
        site(name, _run(digest=_hex(name), shared={name: 1.0})) for name in "ef"
    ]  # fully systematic, but of different inputs: independent
    apart = _merged(other, tmp_path / "o.zip").total
    assert apart == own


def test_the_same_site_counts_once_however_it_comes(
    site: Site, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    from flopledger.bundle.sealing import countersign

    a, b = site("a"), site("b")
    signed = tmp_path / "signed.zip"
    countersign(a, keys=[other_key], out=signed)
    inner = tmp_path / "inner.zip"
    _merged([a, b], inner)
    for paths in ([a, a, b], [a, signed, b], [inner, b], [inner, a, signed, b], [inner, inner]):
        done = _merged(paths, tmp_path / "m.zip")
        assert done.sites == 2
        assert done.total is not None
        assert done.total.best == 2e22
        assert done.total.low == pytest.approx(2e22 - math.sqrt(2) * 0.1e22)
        assert done.total.high == pytest.approx(2e22 + math.sqrt(2) * 0.2e22)
        assert bundle.verify(tmp_path / "m.zip").ok


def test_order_and_nesting_do_not_matter(site: Site, tmp_path: Path) -> None:
    window = [[1e9, 1e9 + 100.0]]
    device = [{"id": _hex("gpu"), "windows": window}]
    paths = [
        site("a", _run(digest=_hex("a"), devices=device, shared={"utilisation": 0.5})),
        site("b", _run(digest=_hex("b"), devices=device)),
        site("c", _run(digest=_hex("a"))),
    ]
    results, bytes_ = [], set()
    for number, order in enumerate(itertools.permutations(paths)):
        out = tmp_path / f"{number}.zip"
        results.append(_merged(list(order), out).result)
        bytes_.add(out.read_bytes())
    assert len(bytes_) == 1
    assert all(result == results[0] for result in results)
    for first, second, third in itertools.permutations(paths):
        inner, outer = tmp_path / "inner.zip", tmp_path / "outer.zip"
        _merged([first, second], inner, title="inner")
        nested = _merged([inner, third], outer)
        assert nested.result == results[0]
        assert bundle.verify(outer).ok


def test_runs_on_the_same_evidence_count_once(site: Site, tmp_path: Path) -> None:
    done = _merged(
        [site("a", _run(digest=_hex("e"))), site("b", _run(digest=_hex("e")))], tmp_path / "m.zip"
    )
    assert done.total is not None
    assert done.total.best == 1e22
    assert "duplicate-run" in {finding.code for finding in done.findings}


def test_a_copied_digest_cannot_shrink_the_others_run(site: Site, tmp_path: Path) -> None:
    small = {"low": 1e3, "best": 1e3, "high": 1e3}
    honest = site("a", _run(digest=_hex("e")))
    thief = site("thief", _run(digest=_hex("e"), flop=small))
    done = _merged([honest, thief], tmp_path / "m.zip")
    assert done.total == Interval(low=0.9e22, best=1e22, high=1.2e22)
    assert "duplicate-disputed" in {finding.code for finding in done.findings}
    assert done.verdict == "needs-explanation"


def test_overlapping_device_time_counts_once_below_and_twice_above(
    site: Site, tmp_path: Path
) -> None:
    """Each site has two devices for 100 s; one of them is claimed by both for 50 s."""

    def of(name: str, start: float) -> dict[str, Any]:
        devices = [
            {"id": _hex("shared"), "windows": [[start, start + 100]]},
            {"id": _hex(name), "windows": [[0.0, 100.0]]},
        ]
        return _run(
            digest=_hex(name), devices=devices, flop={"low": 1e22, "best": 1e22, "high": 1e22}
        )

    done = _merged([site("a", of("a", 0.0)), site("b", of("b", 50.0))], tmp_path / "m.zip")
    # 50 of 200 device-seconds of one run are counted by the other: 2e22 - 0.25e22
    assert done.total is not None
    assert done.total.low == done.total.best == pytest.approx(1.75e22)
    assert done.total.high == pytest.approx(2e22)
    (finding,) = [one for one in done.findings if one.code == "overlapping-device-time"]
    assert "50 device-seconds" in finding.message
    assert done.verdict == "needs-explanation"


def test_too_much_shared_device_time_is_refused_by_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten windows of one device, told by three runs: 30 claims, and 20 where two tell them."""

    def of(name: str) -> dict[str, Any]:
        windows = [[float(start), start + 0.5] for start in range(10)]
        return _run(name, digest=_hex(name), devices=[{"id": _hex("x"), "windows": windows}])

    honest, other = site("honest", of("h")), site("other", of("o"))
    greedy = site("greedy", of("g"), _run("apart", digest=_hex("apart")))
    monkeypatch.setattr(counted_once, "MAX_CLAIMS", 20)
    assert _merged([honest, other], tmp_path / "m.zip").sites == 2
    with pytest.raises(BundleError, match=r"more than 20 times over.*the site '\w+'.*--trust"):
        _merged([honest, other, greedy], tmp_path / "n.zip")
    assert not (tmp_path / "n.zip").exists()


def test_claiming_anothers_devices_cannot_shrink_its_run(site: Site, tmp_path: Path) -> None:
    devices = [{"id": _hex("gpu"), "windows": [[0.0, 100.0]]}]
    honest = site("a", _run(digest=_hex("a"), devices=devices))
    tiny = {"low": 1.0, "best": 1.0, "high": 1.0}
    thief = site("thief", _run(digest=_hex("t"), devices=devices, flop=tiny))
    done = _merged([honest, thief], tmp_path / "m.zip")
    assert done.total is not None
    assert done.total.best == pytest.approx(1e22)
    assert done.total.low == pytest.approx(0.9e22)


BROKEN = {
    "nan": b'{"schema": "flopledger/site-summary/1", "site": NaN}',
    "negative": _run(flop={"low": -1.0, "best": 1.0, "high": 2.0}),
    "huge": _run(flop={"low": 1e41, "best": 1e41, "high": 1e41}),
    "crossed": _run(flop={"low": 2e22, "best": 1e22, "high": 3e22}),
    "zero": _run(flop={"low": 0.0, "best": 0.0, "high": 1.0}),
    "half-open": _run(flop={"low": None, "best": 1e22, "high": 2e22}),
    "text": _run(flop={"low": "much", "best": "more", "high": "most"}),
    "kind": _run(kind="world domination"),
    "shares": _run(shared={"a": 0.9, "b": 0.9}),
    "windows": _run(devices=[{"id": _hex("g"), "windows": [[5.0, 1.0]]}]),
    "same-device-twice": _run(devices=[{"id": _hex("g")}, {"id": _hex("g")}]),
    "stranger-key": _run(extra=1),
    "impossible-rate": _run(device_seconds={"low": 1.0, "best": 1.0, "high": 1.0}),
    "no-json": b"PK\3\4",
    "deep": b"[" * 1000,
}


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_broken_site_is_left_out_and_hurts_nobody(how: str, site: Site, tmp_path: Path) -> None:
    broken = BROKEN[how]
    good = site("good")
    bad = site("bad", raw=broken) if isinstance(broken, bytes) else site("bad", broken)
    done = _merged([good, bad], tmp_path / "m.zip")
    alone = _merged([good], tmp_path / "n.zip")
    assert done.total == alone.total
    assert done.excluded == 1
    assert done.exit_code == 1
    assert done.findings[-1].code == "member-excluded"
    assert bundle.verify(tmp_path / "m.zip").ok


def test_a_bundle_given_twice_is_said(site: Site, tmp_path: Path) -> None:
    good = site("good")
    done = _merged([good, good], tmp_path / "m.zip")
    assert (done.sites, done.findings[-1].code) == (1, "member-repeated")


def test_other_schemas_verdicts_and_name_clashes(site: Site, tmp_path: Path) -> None:
    good = site("good")
    for bad in (
        site("s", schema="flopledger/site-summary/2"),
        site("v", verdict="splendid"),
        site("n", _run("x"), _run("x")),
        site("a", audit="not a digest"),
    ):
        assert _merged([good, bad], tmp_path / "m.zip").excluded == 1
    (tmp_path / "sub").mkdir()
    twin = site("good").rename(tmp_path / "sub" / "good.zip")
    other = site("good", _run("another", digest=_hex("another")))
    done = _merged([twin, other], tmp_path / "m.zip")
    assert done.sites == 2
    assert "site-name-collision" in {finding.code for finding in done.findings}


def test_a_bad_signature_is_left_out(site: Site, tmp_path: Path) -> None:
    good, bad = site("good"), site("bad")
    whole = bad.read_bytes()
    bad.write_bytes(whole.replace(b'"site": "bad"', b'"site": "BAD"'))
    done = _merged([bad, good], tmp_path / "m.zip")
    assert (done.sites, done.excluded) == (1, 1)
    with pytest.raises(BundleError, match="no bundle to merge"):
        _merged([bad], tmp_path / "m.zip")
    with pytest.raises(BundleError, match="no such file"):
        _merged([tmp_path / "none.zip"], tmp_path / "m.zip")


def test_only_trusted_sites(
    site: Site, key: bundle.PrivateKey, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    done = _merged([site("a")], tmp_path / "m.zip", trusted=[key.public])
    assert done.excluded == 0
    with pytest.raises(BundleError, match="none of the trusted keys"):
        _merged([site("a")], tmp_path / "m.zip", trusted=[other_key.public])


def test_a_merge_is_signed_or_stands_on_its_members(
    site: Site, key: bundle.PrivateKey, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    out = tmp_path / "m.zip"
    _merged([site("a"), site("b")], out)
    assert bundle.verify(out).exit_code == 0
    assert bundle.verify(out, trusted=[key.public]).exit_code == 0
    assert bundle.verify(out, trusted=[other_key.public]).exit_code == 1
    _merged([site("a"), site("b")], out, keys=[other_key])
    checked = bundle.verify(out, trusted=[other_key.public])
    assert checked.exit_code == 0
    assert [leaf.trusted for leaf in checked.tree[0].leaves()] == [False, False]
    assert bundle.verify(out, trusted=[key.public]).exit_code == 1


@pytest.mark.parametrize("what", ["sum", "summary", "site", "stranger", "extra"])
def test_a_forged_merge_is_found(
    what: str, site: Site, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """Whoever merges can seal what they like; their sum and the sites' seals are checked."""
    from tests.flopledger.bundle.test_seal_and_verify import _forge

    out = tmp_path / "m.zip"
    _merged([site("a"), site("b")], out, keys=[other_key])
    files = dict(attacks.files_of(out.read_bytes()))
    first = next(name for name in files if name.endswith("/summary.json"))
    changes: dict[str, bytes] = {}
    if what == "sum":
        told = json.loads(files[statement.MERGED])
        told["combined"]["flop"]["best"] /= 2
        changes = {statement.MERGED: json.dumps(told).encode()}
    elif what == "summary":
        changes = {first: files[first].replace(b"1e+22", b"2e+22").replace(b"1e22", b"2e22")}
        assert changes[first] != files[first]
    elif what == "site":
        changes = {first: b"{}"}
    elif what == "stranger":
        changes = {first.replace("summary.json", "more.json"): b"{}"}
    else:
        told = json.loads(files[statement.MERGED]) | {"more": 1}
        changes = {statement.MERGED: json.dumps(told).encode()}
    _forge(out, other_key, changes)
    assert bundle.verify(out, trusted=[other_key.public]).exit_code == 1


def test_a_tree_that_explodes_is_refused(
    site: Site, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """Two merges a level, each of both merges below: 2^40 paths through 80 small files."""
    level = [site("a"), site("b")]
    for depth in range(40):
        above = [tmp_path / f"{depth}-{side}.zip" for side in "xy"]
        try:
            for side, out in zip("xy", above, strict=True):
                _merged(level, out, title=f"{depth} {side}")
        except BundleError as error:
            assert "10,000 nodes" in str(error)  # noqa: PT017
            return
        level = above
    pytest.fail("a tree of 2^40 nodes was built")


def test_audit_ids_and_blind_sites_are_told(site: Site, tmp_path: Path) -> None:
    other = Identities("another audit id, and secret").audit()
    done = _merged([site("a"), site("b", audit=other)], tmp_path / "m.zip")
    codes = {finding.code for finding in done.findings}
    assert {"audit-ids-differ", "overlap-unchecked"} <= codes


def test_bounds_stay_bounds(site: Site, tmp_path: Path) -> None:
    open_above = _run(
        digest=_hex("o"), flop={"low": 5e21, "best": None, "high": None}, bound_only=True
    )
    done = _merged([site("a"), site("b", open_above)], tmp_path / "m.zip")
    assert done.total is not None
    assert done.total.low == pytest.approx(1.4e22)
    assert done.total.best is None
    assert done.total.high is None
    assert done.result["known"]["flop"]["best"] == 1e22
    assert done.result["known"]["runs_without_figure"] == 1
    nothing = _run(digest=_hex("n"), flop=None)
    assert _merged([site("c", nothing)], tmp_path / "n.zip").total is None


def test_failed_runs_are_in_no_total(site: Site, tmp_path: Path) -> None:
    done = _merged([site("a", _run(), _run("crash", kind="failed"))], tmp_path / "m.zip")
    assert done.total is not None
    assert done.total.best == 1e22


def test_the_limit_of_rates_is_above_every_device() -> None:
    import hardware_db

    parts = hardware_db.accelerators()
    fastest = max(peak.flop_per_second for part in parts for peak in part.peaks)
    assert fastest > 1e16
    assert fastest * 2 < MAX_FLOP_PER_DEVICE_SECOND


def test_the_verb(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.zip"
    assert main(["merge", str(site("a")), str(site("b")), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "flopledger/merged/1"
    assert told["combined"]["flop"]["best"] == 2e22
    assert main(["verify", str(out), "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)["tree"]
    assert sorted(member["title"] for member in tree[0]["members"]) == ["a", "b"]
    assert main(["merge", str(tmp_path / "none.zip"), "--out", str(out)]) == 2
    sealed = (tmp_path / "a.zip").read_bytes()
    assert main(["merge", str(tmp_path / "a.zip"), "--out", str(tmp_path / "a.zip")]) == 2
    assert main(["merge", str(tmp_path / "a.zip"), "--out", str(tmp_path / "a.txt")]) == 2
    assert (tmp_path / "a.zip").read_bytes() == sealed
    assert not (tmp_path / "a.txt").exists()


_ENDS = (
    st.tuples(*[st.floats(1e15, 1e26)] * 3)
    .map(sorted)
    .map(lambda ends: Ends(low=ends[0], best=ends[1], high=ends[2]))
)
_SHARES = st.dictionaries(st.sampled_from(["utilisation", "peak", "mask"]), st.floats(0, 0.33))
_WINDOWS = st.lists(st.floats(0, 1e6), min_size=2, max_size=6, unique=True).map(
    lambda edges: [(a, b) for a, b in zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False)]
)
_DEVICES = st.dictionaries(st.sampled_from("gh"), _WINDOWS).map(
    lambda found: [DeviceWindows(id=_hex(name), windows=windows) for name, windows in found.items()]
)
_RUNS = st.builds(
    RunSummary,
    name=st.just("run"),
    kind=st.sampled_from(["pretraining", "pretraining", "failed"]),
    digest=st.none() | st.sampled_from([_hex("1"), _hex("2")]),
    flop=_ENDS,
    shared=_SHARES,
    devices=_DEVICES,
)


def _parts(runs: list[RunSummary], prefix: str = "") -> list[Part]:
    return [Part(site=_hex(prefix + str(n)), audit=AUDIT, run=run) for n, run in enumerate(runs)]


def _sum(parts: list[Part]) -> Interval | None:
    kept, _ = counted_once.without_duplicates(parts)
    counted, _ = counted_once.with_overlaps([part for part in kept if part.run.kind != "failed"])
    return totals.total(counted)


@settings(max_examples=80, deadline=None)
@given(st.lists(_RUNS, min_size=1, max_size=5).map(_parts), st.randoms(use_true_random=False))
def test_sums_do_not_hang_on_order_or_repetition(parts: list[Part], random: Any) -> None:
    total = _sum(parts)
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert _sum(shuffled) == total
    if total is None:
        return
    assert total.low is not None
    assert total.best is not None
    assert total.high is not None
    # Never wider than end by end.
    flops = [part.run.flop for part in parts if part.run.flop is not None]
    assert total.high <= math.fsum(flop.high or 0 for flop in flops) * (1 + 1e-9)


@settings(max_examples=150, deadline=None)
@given(st.lists(_RUNS, min_size=1, max_size=3), st.lists(_RUNS, max_size=3))
def test_nobody_can_shrink_an_honest_part(
    honest: list[RunSummary], hostile: list[RunSummary]
) -> None:
    """Honest sites have work and devices of their own; the others copy digests and devices."""
    import msgspec

    own = [
        msgspec.structs.replace(
            run,
            kind="pretraining",
            digest=_hex(str(number + 1)),
            devices=[one for one in run.devices if one.id == _hex("gh"[number])]
            if number < 2
            else [],
        )
        for number, run in enumerate(honest)
    ]
    total = _sum([*_parts(own), *_parts(hostile, "x")])
    assert total is not None
    flops = [run.flop for run in own if run.flop is not None]
    least = math.fsum(flop.low or 0 for flop in flops)
    best = math.fsum(flop.best or 0 for flop in flops)
    assert total.low is not None
    assert total.low >= least * (1 - 1e-9)
    assert total.best is not None
    assert total.best >= best * (1 - 1e-9)


@given(_ENDS, st.floats(1e14, 1e27))
def test_probabilities(ends: Ends, limit: float) -> None:
    flop = Interval(low=ends.low, best=ends.best, high=ends.high)
    found = totals.probability_above(flop, limit)
    assert found is not None
    assert 0 <= found <= 1
    assert (found <= 0.5) == (limit >= (ends.best or 0)) or limit == ends.best
