"""Sealing and checking whole bundles, by the library and by the verbs."""

import base64
import json
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flopledger
from flopledger import bundle
from flopledger.auditing import audit
from flopledger.bundle import BundleError, envelope, statement, writing
from flopledger.bundle.sealing import Choices, countersign
from flopledger.commands import main
from tests.flopledger.bundle import attacks
from tests.flopledger.bundle.conftest import MakeCase

NO_PAGE = Choices(html=False)


def _forge(
    path: Path, key: bundle.PrivateKey, changes: dict[str, bytes], **predicate: object
) -> None:
    """Change files of a bundle and seal it anew, as a dishonest owner of ``key`` can."""
    files = dict(attacks.files_of(path.read_bytes()))
    told = statement.loads(files[statement.MANIFEST]).predicate
    kept = {
        name: content
        for name, content in files.items()
        if name not in {statement.README, statement.MANIFEST, statement.SEAL}
        and not name.startswith(statement.SIGNERS)
    }
    told = msgspec.structs.replace(told, **predicate)
    writing.write(path, kept | changes, told, [key])


def test_the_same_inputs_give_the_same_bytes(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    for name in ("one.zip", "two.zip"):
        bundle.seal_case(make_case(), keys=[key], out=tmp_path / name, trace=False)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        names = archive.namelist()
    assert names == [
        "README.txt", "case/case.toml", "case/logs/note.txt", "facts.json", "report/audit.json",
        "report/report.html", "summary.json", "manifest.json", "seal.dsse.json",
        f"signers/{key.public.id}.pub",
    ]  # fmt: skip


def test_where_the_case_lies_leaves_no_trace(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path, sealed: Path
) -> None:
    import shutil

    other = tmp_path / "a machine of my own"
    shutil.copytree(make_case().folder, other)
    case = flopledger.AuditCase.load(other / "case.toml")
    out = tmp_path / "again.zip"
    bundle.seal_case(case, keys=[key], out=out, trace=False, choices=NO_PAGE)
    assert out.read_bytes() == sealed.read_bytes()
    assert str(tmp_path).encode() not in sealed.read_bytes()


def test_report_seal(make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path) -> None:
    flopledger_key = tmp_path / "auditor.pem"
    bundle.generate_key(tmp_path)
    (tmp_path / "flopledger.key").rename(flopledger_key)
    from flopledger.auditing import audit

    report = audit(make_case(), trace=False)
    made = report.seal(tmp_path / "evidence.zip", key=flopledger_key)
    checked = bundle.verify(
        tmp_path / "evidence.zip", trusted=[bundle.load_public(tmp_path / "flopledger.pub")],
        recompute=True,
    )  # fmt: skip
    assert checked.ok
    assert checked.trusted
    assert checked.recomputed is not None
    assert checked.recomputed.same
    assert checked.audit is not None
    assert checked.audit["verdict"] == made.verdict == str(report.verdict)
    assert checked.audit["combined"]["flop"]["best"] == report.combined.flop.best  # type: ignore[union-attr]


def test_what_was_sealed_is_what_is_in_it(sealed: Path, key: bundle.PrivateKey) -> None:
    checked = bundle.verify(sealed, trusted=[key.public])
    assert checked.exit_code == 0
    assert [signer.key_id for signer in checked.signers] == [key.public.id]
    assert checked.statement is not None
    assert checked.statement.predicate.options is not None
    with zipfile.ZipFile(sealed) as archive:
        found = json.loads(archive.read("manifest.json"))
        sealed_with = json.loads(archive.read("seal.dsse.json"))
        assert base64.b64decode(sealed_with["payload"]) == archive.read("manifest.json")
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    digests = found["predicate"]["tool"]["data_digests"]
    assert set(digests) == {"hardware_db", "regimes", "priors"}


def test_evidence_that_changes_meanwhile_is_not_sealed(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    from dataclasses import replace

    from flopledger.auditing import audit

    case = make_case()
    report = audit(replace(case, name=case.path.name), trace=False)
    (case.folder / "logs" / "note.txt").write_text("something else\n")
    out = tmp_path / "x.zip"
    with pytest.raises(BundleError, match=r"logs/note\.txt: changed while"):
        bundle.seal_report(report, keys=[key], out=out, choices=NO_PAGE)
    assert not out.exists()


def test_an_unpinned_key_is_said(sealed: Path) -> None:
    checked = bundle.verify(sealed)
    assert checked.ok
    assert not checked.trusted
    assert any("untrusted" in note for note in checked.notes)


def test_a_strangers_key_does_not_do(sealed: Path, other_key: bundle.PrivateKey) -> None:
    checked = bundle.verify(sealed, trusted=[other_key.public])
    assert checked.exit_code == 1
    assert "did not sign it" in checked.problems[0].message


def test_a_forger_needs_the_key(
    sealed: Path, key: bundle.PrivateKey, other_key: bundle.PrivateKey
) -> None:
    _forge(sealed, other_key, {"facts.json": b"{}\n"})
    assert bundle.verify(sealed).ok  # anybody can seal anything ...
    assert bundle.verify(sealed, trusted=[key.public]).exit_code == 1  # ... in their own name


def test_a_signature_of_another_bundle_does_not_hold(
    sealed: Path, tiny: Path, tmp_path: Path
) -> None:
    files = dict(attacks.files_of(sealed.read_bytes()))
    other = dict(attacks.files_of(tiny.read_bytes()))
    mine = envelope.loads(files[statement.SEAL], what="seal")
    theirs = envelope.loads(other[statement.SEAL], what="seal")
    files[statement.SEAL] = envelope.Envelope(
        payload=mine.payload, signatures=theirs.signatures
    ).dumps()
    target = tmp_path / "x.zip"
    target.write_bytes(attacks.canonical(list(files.items())))
    assert {problem.code for problem in bundle.verify(target).problems} == {"signature"}


@pytest.mark.parametrize(
    ("change", "code", "file"),
    [
        ({"case/logs/note.txt": b"other\n"}, "digest", "case/logs/note.txt"),
        ({"case/logs/note.txt": None}, "missing-file", "case/logs/note.txt"),
        ({"case/logs/more.txt": b"new\n"}, "extra-file", "case/logs/more.txt"),
        ({"README.txt": b"run this: curl\n"}, "digest", "README.txt"),
        ({"manifest.json": b"{}\n"}, "digest", "manifest.json"),
        ({"signers/" + "0" * 64 + ".pub": b"x"}, "extra-file", "signers/" + "0" * 64 + ".pub"),
    ],
)
def test_each_changed_file_is_named(
    change: dict[str, bytes | None], code: str, file: str, sealed: Path
) -> None:
    files: dict[str, bytes | None] = {**dict(attacks.files_of(sealed.read_bytes())), **change}
    kept = [(name, content) for name, content in files.items() if content is not None]
    seal = [one for one in kept if one[0] in {"manifest.json", "seal.dsse.json"}]
    signers = [one for one in kept if one[0].startswith("signers/")]
    rest = sorted(one for one in kept if one not in seal and one not in signers)
    sealed.write_bytes(attacks.canonical([*rest, *seal, *sorted(signers)]))
    found = bundle.verify(sealed)
    assert (code, file) in {(one.code, one.file) for one in found.problems}
    assert found.audit is None


@pytest.mark.parametrize(
    "data", [pytest.param(data, id=what) for what, data in attacks.sealed_json()]
)
def test_hostile_json_in_the_seal(data: bytes, tiny: Path) -> None:
    files = dict(attacks.files_of(tiny.read_bytes())) | {"seal.dsse.json": data}
    tiny.write_bytes(attacks.canonical(list(files.items())))
    assert not bundle.verify(tiny).ok


@pytest.mark.parametrize(
    "change",
    [
        {"signatures": [{"keyid": 5, "sig": "AAAA"}]},
        {"signatures": [{"keyid": "0" * 64}]},
        {"signatures": {"a": 1}},
        {"signatures": [7]},
        {"payload": 7},
        {"payload": "%%%"},
        {"payloadType": "text/plain"},
    ],
)
def test_envelopes_of_another_shape(change: dict[str, object], tiny: Path) -> None:
    files = dict(attacks.files_of(tiny.read_bytes()))
    files["seal.dsse.json"] = json.dumps(json.loads(files["seal.dsse.json"]) | change).encode()
    tiny.write_bytes(attacks.canonical(list(files.items())))
    assert not bundle.verify(tiny).ok


def test_a_liar_is_caught_by_recomputing(sealed: Path, key: bundle.PrivateKey) -> None:
    """The owner of the key halves one figure and seals that; the seal holds, the figure does not."""
    files = dict(attacks.files_of(sealed.read_bytes()))
    told = json.loads(files["report/audit.json"])
    true = told["combined"]["flop"]["best"]
    told["combined"]["flop"]["best"] = true / 2
    _forge(sealed, key, {"report/audit.json": json.dumps(told).encode()})
    assert bundle.verify(sealed).ok
    checked = bundle.verify(sealed, recompute=True)
    assert checked.exit_code == 1
    assert checked.recomputed is not None
    (one,) = checked.recomputed.differences
    assert (one.file, one.place) == ("report/audit.json", "combined.flop.best")
    assert (one.sealed, one.recomputed) == (true / 2, true)


def test_another_case_is_caught_by_recomputing(sealed: Path, key: bundle.PrivateKey) -> None:
    files = dict(attacks.files_of(sealed.read_bytes()))
    case = files["case/case.toml"].replace(b"1.013e12", b"0.9e12")
    _forge(sealed, key, {"case/case.toml": case})
    checked = bundle.verify(sealed, recompute=True)
    assert checked.exit_code == 1
    assert checked.recomputed is not None
    places = {one.place for one in checked.recomputed.differences}
    assert {"runs[0].tokens", "tool.case_sha256"} <= places


def test_another_version_explains_a_difference(sealed: Path, key: bundle.PrivateKey) -> None:
    files = dict(attacks.files_of(sealed.read_bytes()))
    told = json.loads(files["report/audit.json"])
    told["combined"]["flop"]["best"] *= 0.999
    predicate = statement.loads(files["manifest.json"]).predicate
    digests = predicate.tool.data_digests | {"priors": "0" * 64}
    tool = msgspec.structs.replace(predicate.tool, version="0.0.9", data_digests=digests)
    _forge(sealed, key, {"report/audit.json": json.dumps(told).encode()}, tool=tool)
    checked = bundle.verify(sealed, recompute=True)
    assert checked.exit_code == 3
    assert checked.recomputed is not None
    assert "sealed by flopledger 0.0.9" in checked.recomputed.explanations[0]
    assert any("priors" in why for why in checked.recomputed.explanations)


def test_a_changed_page_is_caught_by_recomputing(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    out = tmp_path / "x.zip"
    bundle.seal_case(make_case(), keys=[key], out=out, trace=False)
    page = dict(attacks.files_of(out.read_bytes()))["report/report.html"]
    _forge(out, key, {"report/report.html": page.replace(b"<h1", b"<h1 hidden", 1)})
    checked = bundle.verify(out, recompute=True)
    assert checked.exit_code == 1
    assert checked.recomputed is not None
    assert checked.recomputed.differences[0].file == "report/report.html"


def test_another_drawing_library_is_no_forgery(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verifier with another plotly: words, tables and static drawings are held, no more is said."""
    from flopledger.reports import html

    out = tmp_path / "x.zip"
    bundle.seal_case(make_case(), keys=[key], out=out, trace=False)
    own = html._plotly_library()
    other = own.replace("plotly.js v", "plotly.js v9.", 1) + "\n// more"
    monkeypatch.setattr(html, "_plotly_library", lambda: other)
    checked = bundle.verify(out, recompute=True)
    assert checked.recomputed is not None
    assert checked.recomputed.same
    assert checked.recomputed.page is not None
    assert checked.recomputed.page.outcome == "partly"
    assert "plotly.js 9." in checked.recomputed.page.why
    assert checked.exit_code == 3
    # A changed word is still found, and the libraries are named beside it.
    page = dict(attacks.files_of(out.read_bytes()))["report/report.html"]
    _forge(out, key, {"report/report.html": page.replace(b"<h1", b"<h1 hidden", 1)})
    checked = bundle.verify(out, recompute=True)
    assert checked.recomputed is not None
    assert checked.recomputed.differences[0].file == "report/report.html"
    assert "drawing library" in checked.recomputed.explanations[0]
    assert checked.exit_code == 3


def test_a_page_of_another_machine(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """Python and numpy stand in the provenance; under their sealed names the page is the same."""
    from dataclasses import replace

    report = audit(replace(make_case(), name="case.toml"), trace=False)
    elsewhere = replace(report, environment={"python": "3.99.0", "numpy": "9.9"})
    out = tmp_path / "x.zip"
    bundle.seal_report(elsewhere, keys=[key], out=out)
    checked = bundle.verify(out, recompute=True)
    assert checked.recomputed is not None
    assert checked.recomputed.page is not None
    assert checked.recomputed.page.outcome == "same"
    assert checked.exit_code == 0


def test_a_page_of_another_version_is_not_compared(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever lies about the version gets 3, which is not 0, and the page is named."""
    out = tmp_path / "x.zip"
    bundle.seal_case(make_case(), keys=[key], out=out, trace=False)
    files = dict(attacks.files_of(out.read_bytes()))
    told = statement.loads(files["manifest.json"]).predicate
    tool = msgspec.structs.replace(told.tool, data_digests=told.tool.data_digests | {"x": "0" * 64})
    _forge(out, key, {"report/report.html": b"<h1>lies</h1>"}, tool=tool)
    assert main(["verify", str(out), "--recompute"]) == 3
    said = capsys.readouterr().out
    assert "figures come out as sealed" in said
    assert "the page: NOT compared: sealed with other data tables" in said


def test_several_signers(
    sealed: Path, key: bundle.PrivateKey, other_key: bundle.PrivateKey, tmp_path: Path
) -> None:
    both = tmp_path / "both.zip"
    before = bundle.verify(sealed)
    countersign(sealed, keys=[other_key], out=both)
    checked = bundle.verify(both, trusted=[key.public, other_key.public])
    assert checked.ok
    assert checked.id == before.id
    assert all(signer.trusted for signer in checked.signers)
    countersign(both, keys=[other_key], out=tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == both.read_bytes()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--site", "B"), ("--at", "2026-01-31T10:00:00Z"), ("--seed", "0"),
        ("--audit-id-file", "id.txt"), ("--regime", "eu-gpai-1e23"), ("--redact", "policy.toml"),
    ],
)  # fmt: skip
def test_what_is_sealed_takes_no_word_that_only_a_new_seal_could_hold(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    keys = tmp_path / "keys"
    assert main(["keygen", "--out", str(keys)]) == 0
    secret, out = str(keys / "flopledger.key"), tmp_path / "both.zip"
    assert main(["seal", str(tiny), "--key", secret, "--out", str(out), option, value]) == 2
    assert f"sealed already; leave {option} out" in capsys.readouterr().err
    assert not out.exists()


def test_nobody_signs_what_does_not_hold(
    tiny: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    tiny.write_bytes(tiny.read_bytes()[:-1])
    with pytest.raises(BundleError, match="not signed again"):
        countersign(tiny, keys=[key], out=tmp_path / "x.zip")


def test_unsigned_is_neither_good_nor_bad(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "u.zip"
    case = make_case()
    main(["audit", str(case.path), "--no-trace", "--bundle", str(out)])
    assert "nobody signed it" in capsys.readouterr().err
    assert bundle.verify(out).exit_code == 3
    assert bundle.verify(out, trusted=[key.public]).exit_code == 1


def test_the_verbs(make_case: MakeCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys, out = tmp_path / "keys", tmp_path / "evidence.zip"
    assert main(["keygen", "--out", str(keys), "--json"]) == 0
    identity = json.loads(capsys.readouterr().out)["key_id"]
    secret, public = str(keys / "flopledger.key"), str(keys / "flopledger.pub")
    case = str(make_case().path)
    assert main(["seal", case, "--key", secret, "--out", str(out), "--no-trace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signers"] == [identity]
    assert main(["verify", str(out), "--key", public, "--recompute", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert told["trusted"]
    assert told["recomputed"]["same"]
    assert told["recomputed"]["compared"] > 100
    assert main(["verify", str(out)]) == 0
    assert f"signed by {identity} (not pinned)" in capsys.readouterr().out
    whole = out.read_bytes()
    out.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    assert main(["verify", str(out), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"]
    assert main(["verify", str(tmp_path / "none.zip")]) == 2
    assert main(["verify", str(out), "--key", secret]) == 2
    assert main(["seal", case, "--key", public, "--out", str(out)]) == 2
    assert main(["seal", case, "--key", secret, "--out", str(tmp_path / "no" / "x.zip")]) == 2


def test_a_hostile_title_does_not_reach_the_terminal(
    tiny: Path, key: bundle.PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    _forge(tiny, key, {}, title="\x1b]0;owned\x07 <b>", notes=["\x1b[2J\u202e"])
    assert main(["verify", str(tiny)]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_cases_that_cannot_be_sealed(
    make_case: MakeCase, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    from flopledger.cases.case import AuditCase

    out = tmp_path / "x.zip"
    options = AuditCase.of_options({"run": [{"name": "r", "tokens": 1e9}]})
    with pytest.raises(BundleError, match="no file to seal"):
        bundle.seal_case(options, keys=[key], out=out)
    case = make_case()
    (case.folder / "logs" / "NOTE.txt").write_text("another\n")
    with pytest.raises(BundleError, match="ignore case"):
        bundle.seal_case(make_case(), keys=[key], out=out, trace=False, choices=NO_PAGE)
    assert not list(tmp_path.glob("*.zip*"))
    with pytest.raises(BundleError, match="needs a key"):
        bundle.seal_case(case, keys=[], out=out)


_JUNK = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["report/audit.json", "facts.json", "summary.json", "case/case.toml"]),
    junk=_JUNK,
)
def test_a_hostile_signer_cannot_break_the_verifier(
    name: str, junk: bytes, sealed: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    target = tmp_path / "hostile.zip"
    target.write_bytes(sealed.read_bytes())
    _forge(target, key, {name: junk})
    checked = bundle.verify(target, trusted=[key.public], recompute=True)
    assert checked.exit_code in {1, 3}


@pytest.mark.parametrize(
    "changes", [{"seed": -1}, {"seed": 2**70}, {"case": "case/../../x"}, {"regimes": ["no-such"]}]
)
def test_hostile_options(changes: dict[str, object], sealed: Path, key: bundle.PrivateKey) -> None:
    predicate = statement.loads(
        dict(attacks.files_of(sealed.read_bytes()))["manifest.json"]
    ).predicate
    options = msgspec.structs.replace(predicate.options, **changes)
    _forge(sealed, key, {}, options=options)
    assert bundle.verify(sealed, recompute=True).exit_code == 1


def test_the_wrong_key_is_no_damage(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    bundle.generate_key(tmp_path / "other")
    other = tmp_path / "other" / "flopledger.pub"
    found = bundle.verify(sealed, trusted=[bundle.load_public(other)])
    assert [problem.code for problem in found.problems] == ["signer"]
    assert found.intact
    assert found.exit_code == 1
    assert main(["verify", str(sealed), "--key", str(other)]) == 1
    assert "whole, but NOT signed by whom you named" in capsys.readouterr().out
