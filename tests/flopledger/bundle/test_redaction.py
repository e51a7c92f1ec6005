"""Withholding: nothing of it leaves, all of it can be shown later, nobody can swap it."""

import hashlib
import hmac
import json
import stat
import subprocess
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger import bundle
from flopledger.auditing import audit
from flopledger.bundle import BundleError, leaks, redaction
from flopledger.bundle.redaction import Policy, Redaction
from flopledger.bundle.reveal import Secrets
from flopledger.bundle.sealing import Choices
from flopledger.commands import main
from flopledger.text import significant
from tests.flopledger.bundle.conftest import MakeCase

#: 1.0137e12 tokens is low in entropy: 4 digits and a power of ten.
TOKENS = 1.0137e12
SPELLINGS = (
    "1.0137e12", "1.0137e+12", "1013700000000", "1,013,700,000,000", "1013700000000.0", "1.01e12",
    "1_013_700_000_000",
)  # fmt: skip
HOURS = 13457.0
CODENAME = "Project Nightjar"
TEXT = """\
schema = "flopledger/case/1"
title = "A model"

[claim]
flop = 6.3e21
statement = "trained by Project Nightjar with 6.3e21 FLOP"
source = "internal memo of Project Nightjar"

[model.base]
parameters = 1.037e9

[[run]]
name = "pre-training"
model = "base"
tokens = 1.0137e12
sequence_length = 2048
precision = "bf16"
accelerator = "NVIDIA A100-SXM4-80GB"
accelerator_hours = 13457.0
evidence = ["logs/*.txt", "public.txt"]

[run.sources]
tokens = "Project Nightjar, table 3"
"""
PUBLIC = Policy(
    schema=redaction.SCHEMA,
    audience="public",
    files=["logs/*"],
    keys=["run.*.tokens", "run.*.sources", "claim.statement", "claim.source"],
)


@pytest.fixture
def folder(make_case: MakeCase, tmp_path: Path) -> Path:
    (tmp_path / "site-X").mkdir()
    (tmp_path / "site-X" / "public.txt").write_text("nothing to hide\n")
    case = make_case("X", text=TEXT)
    (case.folder / "logs" / "note.txt").write_text(f"{CODENAME} saw 1013700000000 tokens\n")
    return case.folder


def _seal(
    folder: Path, key: bundle.PrivateKey, out: Path, policy: Policy, **choices: object
) -> Path:
    from flopledger.cases.case import AuditCase

    bundle.seal_case(
        AuditCase.load(folder / "case.toml"), keys=[key], out=out, trace=False,
        redaction=Redaction(policy=policy, reveal=out.with_suffix(".reveal")),
        choices=Choices(**choices),  # type: ignore[arg-type]
    )  # fmt: skip
    return out


def test_nothing_withheld_is_in_any_byte(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    out = _seal(folder, key, tmp_path / "public.zip", PUBLIC)
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        files = {name: archive.read(name).decode() for name in names}
    assert "report/report.html" in names
    assert "case/public.txt" in names
    assert "case/case.toml" not in names
    assert "case/logs/note.txt" not in names
    page = files["report/report.html"]
    files["report/report.html"] = page[: page.index("<script")] + page[page.rindex("</script>") :]
    whole = "\n".join(files.values())
    assert [spelling for spelling in SPELLINGS if spelling in whole] == []
    assert "nightjar" not in whole.lower()
    # Digests without a salt could be found by trying: neither the case's nor the log's is there.
    for path in (folder / "case.toml", folder / "logs" / "note.txt"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() not in whole
    assert leaks.find(whole, {CODENAME}, {TOKENS}) is None


def test_exact_results_do_not_give_the_figure_back(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """6 x N x D is public, N is public: D must not follow to more than about two digits."""
    out = _seal(folder, key, tmp_path / "public.zip", PUBLIC, html=False)
    audit_ = bundle.verify(out).audit
    assert audit_ is not None
    figures = [
        value
        for one in [*(e["flop"] for e in audit_["estimates"]), audit_["combined"]["flop"]]
        for value in one.values()
    ]
    figures += [end for ends in audit_["combined"]["intervals"].values() for end in ends]
    assert figures
    assert {significant(value) for value in figures} <= {1, 2}
    assert audit_["runs"][0]["tokens"] is None
    assert audit_["crossings"] == []
    assert significant(audit_["claim"]["ratio_to_estimate"]) <= 2
    told = bundle.verify(out).summary
    assert told is not None
    assert significant(told["runs"][0]["flop"]["best"]) <= 2
    assert told["runs"][0]["digest"] is None


def test_public_and_authority_from_one_case(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    from flopledger.cases.case import AuditCase

    report = audit(AuditCase.load(folder / "case.toml"), trace=False)
    public = bundle.redact(report, PUBLIC)
    assert str(public.verdict) == str(report.verdict)
    for name in ("public.html", "public.json", "public.md"):
        public.save(tmp_path / name)
        text = (tmp_path / name).read_text()
        if name.endswith(".html"):
            text = text[: text.index("<script")]
        assert "nightjar" not in text.lower(), name
        assert leaks.find(text, {CODENAME}, {TOKENS}) is None, name
    assert report.runs[0].figures.tokens is not None  # the authority's report is as it was
    kept = bundle.redact(report, Policy(schema=redaction.SCHEMA, audience="x", files=["logs/*"]))
    assert kept.combined == report.combined
    assert "logs/note.txt" not in kept.runs[0].evidence_digests


def test_who_is_reached_how_leaves_the_figures(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """A provider's address is in no sentence and no sum: nothing is rounded for it."""
    path = folder / "case.toml"
    path.write_text(path.read_text() + '\n[release]\nprovider_contact = "nightjar@example.org"\n')
    policy = Policy(
        schema=redaction.SCHEMA, audience="x", files=["logs/*"], keys=["release.provider_*"]
    )
    out = _seal(folder, key, tmp_path / "x.zip", policy)
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        whole = b"".join(archive.read(name) for name in names)
    assert "case/case.toml" not in names
    assert b"nightjar@example.org" not in whole
    assert hashlib.sha256(path.read_bytes()).hexdigest().encode() not in whole
    found = bundle.verify(out, recompute=True)
    assert found.audit is not None
    assert significant(found.audit["combined"]["flop"]["best"]) > 5
    assert "(withheld" not in json.dumps(found.audit)
    assert found.recomputed is not None
    assert found.recomputed.differences == ()
    left = [one.what for one in found.recomputed.left_out]
    assert [what for what in left if "run " in what or what == "combined"] == []


def test_synonyms_go_together(folder: Path) -> None:
    from flopledger.cases.case import AuditCase

    report = audit(AuditCase.load(folder / "case.toml"), trace=False)
    policy = Policy(schema=redaction.SCHEMA, audience="x", facts=["accelerator_seconds"])
    public = bundle.redact(report, policy)
    assert public.case.spec.run[0].accelerator_hours is None
    assert public.runs[0].figures.device_seconds is None
    assert public.runs[0].utilisation == {}
    text = json.dumps([repr(one) for one in public.estimates])
    assert str(HOURS * 3600) not in text


def test_a_leak_stops_the_seal(folder: Path, key: bundle.PrivateKey, tmp_path: Path) -> None:
    (folder / "public.txt").write_text("we saw 1.0137e12 of them\n")
    with pytest.raises(BundleError, match=r'case/public\.txt.*files = \["public\.txt"\]') as caught:
        _seal(folder, key, tmp_path / "x.zip", PUBLIC, html=False)
    assert "1.0137" not in str(caught.value)
    assert not (tmp_path / "x.zip").exists()
    assert not (tmp_path / "x.reveal").exists()


def test_what_is_withheld_can_be_shown(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _seal(folder, key, tmp_path / "public.zip", PUBLIC, html=False)
    reveal = tmp_path / "public.reveal"
    assert stat.S_IMODE(reveal.stat().st_mode) == 0o600
    told = json.loads(reveal.read_text())
    names = {(item["kind"], item["name"]) for item in told["items"]}
    assert names == {
        ("file", "case/case.toml"), ("file", "case/logs/note.txt"),
        ("key", "claim.source"), ("key", "claim.statement"),
        ("key", "run.pre-training.sources"), ("key", "run.pre-training.tokens"),
    }  # fmt: skip
    # One item goes to the authority: without the secret and without the others.
    del told["secret"]
    told["items"] = [item for item in told["items"] if item["name"] == "run.pre-training.tokens"]
    part = tmp_path / "part.json"
    part.write_text(json.dumps(told))
    assert main(["verify", str(out), "--reveal", str(part), "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["revealed"]
    assert shown["outcome"] == "matches"
    told["items"][0]["value"] = 2e12
    part.write_text(json.dumps(told))
    assert main(["verify", str(out), "--reveal", str(part), "--json"]) == 1
    (shown,) = json.loads(capsys.readouterr().out)["revealed"]
    assert shown["outcome"] == "DIFFERS"
    assert main(["verify", str(out), "--reveal", str(reveal), "--from", str(folder)]) == 0
    (folder / "logs" / "note.txt").write_text("something else\n")
    assert main(["verify", str(out), "--reveal", str(reveal), "--from", str(folder)]) == 1


def test_a_file_is_checked_with_openssl(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    out = _seal(folder, key, tmp_path / "public.zip", PUBLIC, html=False)
    items = json.loads((tmp_path / "public.reveal").read_text())["items"]
    salt = next(item["salt"] for item in items if item["name"] == "case/logs/note.txt")
    statement = bundle.verify(out).statement
    assert statement is not None
    (told,) = [one for one in statement.predicate.withheld if one.name == "case/logs/note.txt"]
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{salt}",
         str(folder / "logs" / "note.txt")],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split()[-1] == told.commitment


def test_salts_hide_what_could_be_tried_out(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """Without the salt, the right guess looks like every wrong one."""
    commitments = []
    for name in ("a", "b"):
        out = _seal(folder, key, tmp_path / f"{name}.zip", PUBLIC, html=False)
        statement = bundle.verify(out).statement
        assert statement is not None
        commitments.append({one.commitment for one in statement.predicate.withheld})
    assert commitments[0].isdisjoint(commitments[1])
    value = json.dumps(TOKENS).encode()
    guesses = {hashlib.sha256(value).hexdigest(), hmac.new(b"", value, "sha256").hexdigest()}
    assert guesses.isdisjoint(commitments[0])


def test_the_same_reveal_file_gives_the_same_bytes(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    first = _seal(folder, key, tmp_path / "x.zip", PUBLIC, html=False).read_bytes()
    assert _seal(folder, key, tmp_path / "x.zip", PUBLIC, html=False).read_bytes() == first


RUNS = (
    TEXT
    + """
[[run]]
name = "tune"
kind = "finetuning"
model = "base"
tokens = 2.0e9
evidence = ["dcgm.prom"]

[[run]]
name = "more"
kind = "continued"
model = "base"
tokens = 1.69e10
precision = "bf16"
accelerator = "NVIDIA A100-SXM4-80GB"
accelerator_hours = 210.0
"""
)
HERE = Policy(
    schema=redaction.SCHEMA, audience="public", files=["logs/*"],
    keys=["run.pre-training.tokens", "run.*.sources", "claim.statement", "claim.source"],
)  # fmt: skip


@pytest.fixture
def runs_folder(folder: Path) -> Path:
    from tests.flopledger.reports.conftest import dcgm

    (folder / "case.toml").write_text(RUNS)
    (folder / "dcgm.prom").write_text(dcgm())
    return folder


@pytest.mark.parametrize("derived", ["round", "keep"])
def test_what_is_public_is_recomputed(
    runs_folder: Path, key: bundle.PrivateKey, tmp_path: Path, derived: str
) -> None:
    policy = msgspec.structs.replace(HERE, derived=derived)
    out = _seal(runs_folder, key, tmp_path / "x.zip", policy, html=False)
    checked = bundle.verify(out, trusted=[key.public], recompute=True)
    assert checked.exit_code == 3
    found = checked.recomputed
    assert found is not None
    assert found.differences == ()
    assert found.compared > 40, (
        found.left_out
    )  # the second run's estimates and figures, and the facts of its log
    left = {one.what: one.why for one in found.left_out}
    assert "run.pre-training.tokens" in left["estimate closed-form (model) of run pre-training"]
    assert "the claim's digits as typed" in left["claim"]
    assert [what for what in left if "run tune" in what or "run more" in what] == []


def test_withheld_files_alone_leave_the_figures(
    runs_folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    files = Policy(schema=redaction.SCHEMA, audience="x", files=["logs/*"])
    out = _seal(runs_folder, key, tmp_path / "x.zip", files, html=False)
    found = bundle.verify(out, recompute=True).recomputed
    assert found is not None
    assert found.differences == ()
    # The note told nothing: every figure, the verdict included, comes out without it.
    assert [one.what for one in found.left_out] == ["findings, summary.json"]
    # The telemetry is what the second run's figures rest on.
    needed = Policy(schema=redaction.SCHEMA, audience="x", files=["dcgm.prom"])
    out = _seal(runs_folder, key, tmp_path / "y.zip", needed, html=False)
    found = bundle.verify(out, recompute=True).recomputed
    assert found is not None
    assert found.differences == ()
    left = {one.what: one.why for one in found.left_out}
    assert left["facts of dcgm.prom"] == "withheld: the file"
    assert "dcgm.prom" in left["figures of run tune"]
    assert [what for what in left if "run pre-training" in what] == []


@pytest.mark.parametrize(
    ("place", "refuted"),
    [
        (("estimates", "tune"), True),
        (("facts", "accelerator_seconds"), True),
        (("estimates", "pre-training"), False),
        (("runs", "tune"), True),
    ],
)
def test_a_lie_beside_what_is_withheld(
    runs_folder: Path, key: bundle.PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    place: tuple[str, str], refuted: bool,
) -> None:  # fmt: skip
    """Who signs a figure that public inputs refute is found out; behind withheld ones nobody is."""
    from flopledger.bundle import sealing

    honest = sealing.rendered

    def lying(report: object, *, html: bool) -> dict[str, object]:
        files = honest(report, html=html)  # type: ignore[arg-type]
        told = json.loads(files["report/audit.json"])  # type: ignore[arg-type]
        table, name = place
        for one in told[table]:
            if table == "estimates" and one["run"] == name:
                one["flop"] = {end: v and v * 3 for end, v in one["flop"].items()}
            elif one.get("name") == name and table == "facts":
                one["value"] = 7.0
            elif one.get("name") == name and table == "runs":
                one["energy_joules"] = 7.0
        return files | {"report/audit.json": json.dumps(told).encode()}

    monkeypatch.setattr(sealing, "rendered", lying)
    out = _seal(runs_folder, key, tmp_path / "x.zip", HERE, html=False)
    checked = bundle.verify(out, recompute=True)
    assert checked.recomputed is not None
    assert checked.recomputed.refuted is refuted
    assert checked.exit_code == (1 if refuted else 3)


def test_who_was_shown_the_inputs_recomputes_all(
    runs_folder: Path, key: bundle.PrivateKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _seal(runs_folder, key, tmp_path / "x.zip", HERE, html=False)
    command = ["verify", str(out), "--recompute", "--reveal", str(tmp_path / "x.reveal"), "--json"]
    assert main([*command, "--from", str(runs_folder)]) == 3
    told = json.loads(capsys.readouterr().out)
    assert all(one["outcome"] == "matches" for one in told["revealed"])
    assert told["recomputed"]["differences"] == []
    assert [one["what"] for one in told["recomputed"]["left_out"]] == ["findings, summary.json"]
    # A file that is not what was committed to is no input.
    (runs_folder / "case.toml").write_text(RUNS.replace("1.0137e12", "2.0137e12"))
    assert main([*command, "--from", str(runs_folder)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {one["outcome"] for one in told["revealed"] if one["name"] == "case/case.toml"} == {
        "DIFFERS"
    }
    assert told["recomputed"]["differences"] == []
    assert any("run pre-training" in one["what"] for one in told["recomputed"]["left_out"])


def test_nothing_public_enough_to_audit(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    everything = Policy(schema=redaction.SCHEMA, audience="x", files=["*"])
    out = _seal(folder, key, tmp_path / "x.zip", everything, html=False)
    checked = bundle.verify(out, recompute=True)
    assert checked.exit_code == 3
    assert checked.recomputed is not None
    assert checked.recomputed.left_out[0].what == "every figure"
    assert "the case is withheld" in checked.recomputed.left_out[0].why


def test_a_summary_leaves_the_inputs_at_home(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    out = tmp_path / "summary.zip"
    from flopledger.cases.case import AuditCase

    bundle.seal_case(
        AuditCase.load(folder / "case.toml"), keys=[key], out=out, trace=False,
        choices=Choices(summary_only=True, audit_id="0123456789abcdef", site="north"),
    )  # fmt: skip
    with zipfile.ZipFile(out) as archive:
        assert [n for n in archive.namelist() if not n.startswith("signers/")] == [
            "README.txt", "summary.json", "manifest.json", "seal.dsse.json",
        ]  # fmt: skip
        whole = b"".join(archive.read(name) for name in archive.namelist())
    assert b"ightjar" not in whole
    told = bundle.verify(out, trusted=[key.public]).summary
    assert told is not None
    assert told["site"] == "north"
    assert told["runs"][0]["flop"]["best"] > 1e21
    assert told["runs"][0]["digest"] is not None


def test_the_verb(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle.generate_key(tmp_path)
    policy = tmp_path / "public.toml"
    policy.write_text(
        'schema = "flopledger/redaction/1"\naudience = "public"\nfiles = ["logs/*"]\n'
        'keys = ["run.*.tokens", "run.*.sources", "claim.s*"]\n'
    )
    common = ["seal", str(folder / "case.toml"), "--key", str(tmp_path / "flopledger.key"),
              "--no-trace", "--no-html", "--out", str(tmp_path / "x.zip")]  # fmt: skip
    assert main([*common, "--redact", str(policy)]) == 2
    assert "--reveal" in capsys.readouterr().err
    assert main([*common, "--reveal", str(tmp_path / "r.json")]) == 2
    assert (
        main([*common, "--redact", str(policy), "--reveal", str(tmp_path / "r.json"), "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["withheld"] == 6
    assert main([*common, "--summary", "--reveal", str(tmp_path / "s.json")]) == 0
    capsys.readouterr()
    for text in ("x = 1", 'schema = "flopledger/redaction/1"\naudience = "p"', "[[["):
        policy.write_text(text)
        assert main([*common, "--redact", str(policy), "--reveal", str(tmp_path / "r.json")]) == 2


@given(st.floats(1e6, 1e30), st.sampled_from(["{!r}", "{:.3g}", "{:,.0f}", "{:e}", "{:.4E}"]))
def test_every_spelling_of_a_figure_is_found(value: float, spelling: str) -> None:
    text = spelling.format(value)
    if significant(float(text.replace(",", ""))) < leaks.DIGITS:
        return
    words, numbers = leaks.targets([value])
    assert leaks.find(f"<td>{text}</td>", words, numbers) is not None


@pytest.mark.parametrize("text", ['Nightjar "one"', "Nightjar <b>", "Nachtschwalbe – Größe"])
def test_every_spelling_of_a_word_is_found(text: str) -> None:
    import html

    words, numbers = leaks.targets([text])
    for spelled in (text, html.escape(text), json.dumps(text), text.upper()):
        assert leaks.find(f"... {spelled} ...", words, numbers) is not None


def test_the_same_figure_under_another_key(
    folder: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    path = folder / "case.toml"
    path.write_text(
        path.read_text().replace(
            "sequence_length = 2048", "sequence_length = 2047\ntokens_per_sample = 2047.0"
        )
    )
    policy = Policy(
        schema=redaction.SCHEMA, audience="p", files=["logs/*"], keys=["run.*.sequence_length"]
    )
    with pytest.raises(BundleError, match=r"case\.redacted\.json.*withhold the key"):
        _seal(folder, key, tmp_path / "x.zip", policy, html=False)
    wider = Policy(
        schema=redaction.SCHEMA, audience="p", files=["logs/*"],
        keys=["run.*.sequence_length", "run.*.tokens_per_sample"],
    )  # fmt: skip
    assert bundle.verify(_seal(folder, key, tmp_path / "x.zip", wider, html=False)).ok


def test_the_same_figure_in_another_fact(shared: Path, tmp_path: Path) -> None:
    """A log states 512 devices, and 512 ranks; who withholds the one withholds the other."""
    import shutil

    from flopledger.cases.case import AuditCase

    log = next((shared / "data/evidence/mlperf").glob("gpt3*"))
    shutil.copytree(log, tmp_path / "log", copy_function=shutil.copyfile)
    path = tmp_path / "case.toml"
    path.write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n[model.m]\nparameters = 175e9\n'
        '[[run]]\nname = "r"\nmodel = "m"\nevidence = ["log"]\n'
    )
    report = audit(AuditCase.load(path), trace=False)
    assert [fact.name for fact in report.facts if fact.value == 512] != []
    policy = Policy(schema=redaction.SCHEMA, audience="p", facts=["accelerator_count"])
    public = bundle.redact(report, policy)
    assert [fact for fact in public.facts if fact.value == 512 or "512" in fact.locator] == []
    assert [fact.name for fact in public.facts] != []


def test_words_of_the_format_are_no_leak() -> None:
    """`energy_boundary = "device"` is withheld; `device_seconds` is a key of every summary."""
    words, _ = leaks.targets(["device", "node", "full", "nightjar"])
    assert words == {"nightjar"}


def test_a_redacted_report_says_that_it_is_one(folder: Path) -> None:
    from flopledger.cases.case import AuditCase
    from flopledger.reports import content, markdown

    report = audit(AuditCase.load(folder / "case.toml"), trace=False)
    policy = Policy(schema=redaction.SCHEMA, audience="the public", keys=["run.*.tokens"])
    public = bundle.redact(report, policy)
    (told,) = [one for one in public.findings if one.code == "figures-withheld"]
    assert told.message.startswith("made for 'the public': withheld here are 1 key of the case")
    text = markdown.render(content.document(public))
    assert "rounded outward to two digits" in text
    assert "figures-withheld" not in {one.code for one in report.findings}


def test_a_reveal_file_with_a_broken_secret_is_named(tmp_path: Path) -> None:
    reveal = tmp_path / "reveal.json"
    told = {"schema": "flopledger/reveal/1", "secret": "z" * 64, "items": []}
    reveal.write_text(json.dumps(told), "utf-8")
    with pytest.raises(BundleError, match="holds no secret to seal with"):
        Secrets.open(reveal)
