"""The documents that others ask for: right figures, right digits, valid by their own standards."""

import dataclasses
import json
import re
from pathlib import Path

import msgspec
import pytest

from flopledger import bundle
from flopledger.auditing import AuditReport, audit
from flopledger.bundle.redaction import SCHEMA, Policy
from flopledger.cases.case import AuditCase
from flopledger.errors import FlopledgerError
from flopledger.exports import (
    FORMATS,
    cyclonedx,
    disclosure,
    european,
    forms,
    model_card,
    release,
    render,
    spdx,
)
from flopledger.reports.document import Document, Table, plain


def _answers(document: Document) -> dict[str, tuple[str, str]]:
    """Field -> (answer, what would complete it)."""
    return {
        plain(row.cells[0]): (plain(row.cells[1]), plain(row.cells[2]))
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Table) and block.columns[0].title == "Field"
        for row in block.rows
    }


def _field(document: Document, start: str) -> tuple[str, str]:
    (found,) = [value for name, value in _answers(document).items() if name.startswith(start)]
    return found


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (2.349e25, 2, "2.3e25"),
        (9.96e24, 2, "1.0e25"),
        (4.2e5, 1, "4e5"),
        (100.0, 2, "1.0e2"),
        (0.03, 2, "3.0e-2"),
    ],
)
def test_digits_as_the_forms_ask(value: float, digits: int, text: str) -> None:
    assert disclosure.significant(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"), [(2.3e25, "10^25"), (9.9e24, "10^24"), (9.96e24, "10^25"), (1e23, "10^23")]
)
def test_orders_of_magnitude(value: float, text: str) -> None:
    assert disclosure.order_of_magnitude(value) == text


def test_annex_xi(full: AuditReport, usual: AuditReport) -> None:
    made = european.annex_xi(usual)
    # 3.19e23 FLOP; 992 A100s: 2.914e9 device-seconds / 86,400 = 33,728 days, one figure: 3e4.
    assert _field(made, "2(d) Computational") == ("3.2e23 FLOP", "")
    assert _field(made, "2(d) Training time, hardware") == ("3e4 NVIDIA A100 SXM4 80GB days", "")
    answer, needed = _field(made, "2(e)")
    assert answer == "not known"
    assert "measured energy of run pre-training" in needed
    # One of two runs has no meter: what the other drew is a bound of the sum, and the run is named.
    # 1000 s of 1200 were seen: 1000 x (503 W + 553 W) = 1.06e6 J = 2.9e-4 MWh.
    answer, needed = _field(european.annex_xi(full), "2(e)")
    assert answer == "at least 2.9e-4 MWh (nothing measured of pre-training)"
    assert "pre-training" in needed
    assert "rollouts" not in needed


def test_energy_with_its_boundary(full: AuditReport) -> None:
    # About 1000 s of 1200 at 503 W and 553 W: 1.056e6 J / 3.6e9 = 2.9e-4 MWh, and 200 s unseen.
    alone = dataclasses.replace(full, runs=full.runs[1:])
    made = european.code_of_practice(alone)
    assert _field(made, "Amount of energy")[0] == "at least 2.9e-4 MWh"
    method, _ = _field(made, "Energy methodology")
    assert "dcgm.prom" in method
    assert "measured at: device" in method


def test_code_of_practice_speaks_to_both_readers(usual: AuditReport) -> None:
    made = european.code_of_practice(usual)
    assert _field(made, "Amount of computation, two significant figures")[0] == "3.2e23 FLOP"
    assert "10^23" in _field(made, "Amount of computation, order of magnitude")[0]
    # Device time over devices: 33,728 device-days / 992 = 34 days by the clock; if the case says so.
    answer, needed = _field(made, "Training time, range")
    assert answer == "1 to 3 months" or "wall-clock hours" in needed


def test_article_52(full: AuditReport, usual: AuditReport, root: Path) -> None:
    from flopledger.auditing import audit
    from flopledger.cases.case import AuditCase

    big = audit(AuditCase.load(root / "examples/llama-3.1-405b/case.toml"), trace=False)
    made = european.article_52(big)
    # 6 x 405e9 x 15.6e12 = 3.8e25, and attention on top.
    assert _field(made, "Cumulative training compute")[0] in {"4.0e25 FLOP", "4.1e25 FLOP"}
    assert made.lead.startswith("On the evidence of this case the condition is met")
    assert re.search(r"2[45](\.\d)?% of run pre-training", _field(made, "When the threshold")[0])
    assert _field(made, "Provider's address") == (
        "not known", "the provider's word: provider_address under [release] in the case"
    )  # fmt: skip
    small = european.article_52(usual)
    assert small.lead.startswith("On the evidence of this case the condition is not met")
    # The original's 1e21 counts cumulatively: 5.9e19 + 2.0e18 + 1e21 = 1.1e21.
    assert _field(european.article_52(full), "Cumulative")[0] == "1.1e21 FLOP"


def test_nothing_is_invented(nothing_known: AuditReport) -> None:
    for make in (european.annex_xi, european.code_of_practice, european.article_52):
        for field, (answer, needed) in _answers(make(nothing_known)).items():
            assert answer == "not known" or field.startswith("Threshold"), field
            assert needed or field.startswith("Threshold"), field
    assert (
        "Whether the condition is met cannot be stated" in european.article_52(nothing_known).lead
    )
    card = model_card.render(nothing_known)
    assert "flop: null" in card
    assert "**Training compute:** not known" in card
    assert "ai_energyConsumption" not in spdx.dumps(nothing_known)


def test_bounds_are_given_as_bounds(full: AuditReport) -> None:
    from flopledger.quantity import Interval

    low = Interval(low=1.5e24, best=None, high=None)
    assert disclosure.rounded(low, 2, "FLOP") == "at least 1.5e24 FLOP"
    both = Interval(low=1.5e24, best=None, high=3e24)
    assert disclosure.rounded(both, 2, "FLOP") == "at least 1.5e24 FLOP and at most 3.0e24 FLOP"
    assert disclosure.rounded(Interval(low=None, best=None, high=None), 2, "FLOP") is None


def test_the_margin_of_the_guidelines_is_tested() -> None:
    from flopledger.quantity import Interval

    assert "within the 30%" in disclosure.uncertainty(Interval(low=0.8, best=1.0, high=1.29))
    assert "outside the 30%" in disclosure.uncertainty(Interval(low=0.8, best=1.0, high=1.31))
    assert "outside the 30%" in disclosure.uncertainty(Interval(low=0.69, best=1.0, high=1.1))


@pytest.mark.parametrize("case", ["full", "usual", "nothing_known", "hostile", "released"])
def test_cyclonedx_by_its_own_schema(case: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("cyclonedx", reason="NOT CHECKED: cyclonedx-python-lib is not installed")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = cyclonedx.dumps(request.getfixturevalue(case))
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    broken = json.loads(text)
    broken["metadata"]["component"]["type"] = "spreadsheet"
    assert validator.validate_str(json.dumps(broken)) is not None


def test_cyclonedx_energy(full: AuditReport, metered: AuditReport) -> None:
    made = cyclonedx.to_dict(metered)
    card = made["metadata"]["component"]["modelCard"]
    (used,) = card["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    # 1200 s x (503 W + 553 W) / 3.6e6 = 0.352 kWh; the pre-training has no meter and no entry.
    assert used["activityEnergyCost"] == {"value": pytest.approx(0.352, rel=0.01), "unit": "kWh"}
    # The form has no word for "at least": a recording with a hole gives no entry, but a property.
    holed = cyclonedx.to_dict(full)["metadata"]["component"]["modelCard"]
    assert holed["considerations"]["environmentalConsiderations"] == {
        "properties": [{"name": "flopledger:energy-bound:rollouts", "value": "at least 0.293 kWh"}]
    }
    values = {one["name"]: one["value"] for one in card["properties"]}
    assert metered.combined is not None
    assert metered.combined.flop.best is not None
    stated = float(values["flopledger:training-compute:flop"])
    assert stated == pytest.approx(metered.combined.flop.best, rel=1e-5)
    references = [one["bom-ref"] for one in made["components"]]
    assert len(references) == len(set(references)) == 3  # the case, the log, the unread file


@pytest.mark.parametrize("case", ["full", "usual", "nothing_known", "hostile", "released"])
def test_spdx_by_its_own_model(case: str, request: pytest.FixtureRequest) -> None:
    model = pytest.importorskip(
        "spdx_python_model", reason="NOT CHECKED: spdx-python-model is not installed"
    ).v3_0_1
    import io

    def read(document: dict) -> object:
        found = model.SHACLObjectSet()
        text = json.dumps(document).encode()
        model.JSONLDDeserializer().read(io.BytesIO(text), found)
        assert found.link() == set()  # every reference leads somewhere
        model.JSONLDSerializer().write(found, io.BytesIO())  # checks what is required
        return found

    document = spdx.to_dict(request.getfixturevalue(case), "2026-11-22T10:00:00+02:00")
    (package,) = read(document).foreach_type(model.ai_AIPackage)
    assert package.ai_informationAboutTraining
    broken = json.loads(json.dumps(document))
    broken["@graph"][0]["specVersion"] = 3
    with pytest.raises((TypeError, ValueError)):
        read(broken)


def _profiles(report: AuditReport) -> set[str]:
    document = spdx.to_dict(report)["@graph"][-1]
    assert document["type"] == "SpdxDocument"
    return set(document["profileConformance"])


def test_spdx_conforms_to_the_ai_profile(released: AuditReport) -> None:
    """The rules of the AI profile 3.0.1, model/AI/AI.md and model/AI/Classes/AIPackage.md."""
    made = spdx.to_dict(released)
    assert _profiles(released) == {"core", "software", "simpleLicensing", "ai"}
    named = {one["spdxId"]: one for one in made["@graph"] if "spdxId" in one}
    (package,) = [one for one in named.values() if one["type"] == "ai_AIPackage"]
    assert package["name"] == "Example 1B"
    assert package["releaseTime"] == "2026-01-31T00:00:00Z"
    assert package["software_downloadLocation"] == "https://example.org/model"
    assert package["software_packageVersion"] == "1.0"
    assert package["software_primaryPurpose"] == "model"
    assert named[package["suppliedBy"]]["name"] == "Example AI Ltd"
    assert package["verifiedUsing"][0]["hashValue"] == "ab" * 32
    relations = [one for one in named.values() if one["type"] == "Relationship"]
    for kind in ("hasConcludedLicense", "hasDeclaredLicense"):
        (relation,) = [one for one in relations if one["relationshipType"] == kind]
        assert relation["from"] == package["spdxId"]
    (licence,) = [one for one in relations if one["relationshipType"] == "hasDeclaredLicense"]
    declared = named[licence["to"][0]]
    assert declared["simplelicensing_licenseExpression"] == "Apache-2.0 OR LicenseRef-example.1"
    (own,) = declared["simplelicensing_customIdToUri"]
    assert own["key"] == "LicenseRef-example.1"
    assert "https://example.org/licence" in named[own["value"]]["simplelicensing_licenseText"]
    # 0.04 MWh of pre-training = 40 kWh; the fine-tuning's 1200 s x (503 W + 553 W) / 3.6e6 = 0.352 kWh.
    used = package["ai_energyConsumption"]
    (training,) = used["ai_trainingEnergyConsumption"]
    (tuning,) = used["ai_finetuningEnergyConsumption"]
    assert float(training["ai_energyQuantity"]) == pytest.approx(40)
    assert float(tuning["ai_energyQuantity"]) == pytest.approx(0.352, rel=0.01)


def test_the_ai_profile_is_claimed_only_where_it_holds(released: AuditReport) -> None:
    stated = released.case.spec.release

    def without(**gone: object) -> AuditReport:
        spec = msgspec.structs.replace(
            released.case.spec, release=msgspec.structs.replace(stated, **gone)
        )
        return dataclasses.replace(released, case=dataclasses.replace(released.case, spec=spec))

    for key in (*release.REQUIRED, "license_location"):
        report = without(**{key: None})
        assert release.missing(report) == (key,)
        assert "ai" not in _profiles(report)
        document = spdx.to_dict(report)["@graph"][-1]
        assert f"the provider adds {key} under [release]" in document["comment"]
        told = cyclonedx.to_dict(report)["metadata"]["component"]["modelCard"]["properties"]
        assert {"name": "flopledger:release:missing", "value": key} in told
    assert "ai" in _profiles(without(license="MIT", license_location=None))
    none = spdx.to_dict(without(license="NONE", license_location=None))["@graph"]
    (declared,) = [one for one in none if one.get("relationshipType") == "hasDeclaredLicense"]
    assert declared["to"] == ["expandedlicensing_NoneLicense"]
    assert not [one for one in none if one["type"] == "simplelicensing_LicenseExpression"]


def test_the_providers_word_in_every_form(released: AuditReport) -> None:
    component = cyclonedx.to_dict(released)["metadata"]["component"]
    assert component["name"] == "Example 1B"
    assert component["version"] == "1.0"
    assert component["supplier"]["contact"] == [{"email": "office@example.org"}]
    assert component["licenses"][0]["expression"] == "Apache-2.0 OR LicenseRef-example.1"
    assert component["modelCard"]["modelParameters"]["inputs"] == [
        {"format": "text"},
        {"format": "image"},
    ]
    annex = european.annex_xi(released)
    assert _field(annex, "1(c) Date of release") == ("2026-01-31", "")
    assert _field(annex, "1(f) Licence")[0] == "Apache-2.0 OR LicenseRef-example.1"
    form = european.code_of_practice(released)
    assert _field(form, "Legal name")[0] == "Example AI Ltd"
    assert _field(form, "Union market release date")[0] == "2026-02-15"
    assert _field(form, "Model dependencies")[0] == "N/A"
    notice = european.article_52(released)
    assert _field(notice, "Version")[0] == "1.0"
    assert _field(notice, "Provider's address")[0] == "not known"
    front = model_card.render(released).split("---")[1]
    assert "license: other" in front
    assert 'license_link: "https://example.org/licence"' in front


def test_spdx_states_its_time(usual: AuditReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)

    def created(given: str | None = None) -> str:
        return spdx.to_dict(usual, given)["@graph"][0]["created"]

    assert created("2026-11-22T10:00:00+02:00") == "2026-11-22T08:00:00Z"
    assert created() == "1970-01-01T00:00:00Z"
    assert "placeholder" in spdx.to_dict(usual)["@graph"][0]["comment"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert created() == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    with pytest.raises(FlopledgerError, match="seconds since 1970"):
        created()
    with pytest.raises(FlopledgerError, match="is no time"):
        created("yesterday")


def test_model_card_metadata_is_yaml(full: AuditReport, hostile: AuditReport) -> None:
    from markdown_it import MarkdownIt

    yaml = pytest.importorskip("yaml", reason="NOT CHECKED: PyYAML is not installed")
    for report in (full, hostile):
        _, front, body = model_card.render(report).split("---\n", 2)
        stated = yaml.safe_load(front)["training_compute"]
        assert stated["flop"] == report.combined.flop.best
        assert stated["energy_mwh"] is None  # one run of two was not metered
        assert "<script" not in MarkdownIt("commonmark", {"html": True}).render(body)
        assert "\u202e" not in body


def test_round_figures_of_the_model_card_are_numbers_to_yaml() -> None:
    # JSON's shortest spelling of 1e25 has no point, and YAML 1.1 then reads a word.
    yaml = pytest.importorskip("yaml", reason="NOT CHECKED: PyYAML is not installed")
    values = [1e25, 8.4e22, 0.5, 1e-7, None]
    assert yaml.safe_load(f"a: {model_card._yaml(values)}")["a"] == values


@pytest.mark.parametrize(
    ("chance", "words"),
    [
        (0.97, "the condition is met (probability 97.0%)"),
        (0.60, "leaves open whether the condition is met (probability 60.0%)"),
        (0.40, "leaves open whether the condition is met (probability 40.0%)"),
        (0.02, "the condition is not met (probability of it 2.0%)"),
        (None, "cannot be stated"),
    ],
)
def test_a_notification_decides_nothing_that_the_evidence_leaves_open(
    usual: AuditReport, chance: float | None, words: str
) -> None:
    standings = tuple(
        dataclasses.replace(one, probability_exceeded=chance)
        if one.regime.id == disclosure.SYSTEMIC_RISK
        else one
        for one in usual.standings
    )
    assert words in european.article_52(dataclasses.replace(usual, standings=standings)).lead


def test_formats_refuse_what_they_cannot(usual: AuditReport) -> None:
    with pytest.raises(FlopledgerError, match="there are: html, pdf"):
        render(usual, "docx")
    with pytest.raises(FlopledgerError, match=r"written as \.json"):
        render(usual, "cyclonedx", ".xml")
    assert set(FORMATS) >= {"annex-xi", "code-of-practice", "article-52", "cyclonedx", "spdx"}


ONE_SIDED = """schema = "flopledger/case/1"
title = "One-sided"
[model.m]
parameters = 8e9
[[run]]
name = "pre-training"
model = "m"
tokens = { at_least = 15e12 }
accelerator = "NVIDIA H100 80GB HBM3"
accelerator_hours = { at_most = 2e6 }
energy_mwh = { at_least = 700 }
[[run]]
name = "tuning"
kind = "finetuning"
model = "m"
tokens = 1e10
energy_mwh = { at_most = 5 }
"""


def test_bounds_are_said_as_bounds(tmp_path: Path) -> None:
    """No figure, yet something is known: 6 x 8e9 x 15e12 = 7.2e23 FLOP at least, 700 MWh at least."""
    (tmp_path / "case.toml").write_text(ONE_SIDED)
    made = audit(AuditCase.load(tmp_path / "case.toml"), trace=False)
    assert made.combined is None
    form = european.annex_xi(made)
    assert _field(form, "2(d) Computational")[0].startswith("at least 7.2e23 FLOP and at most ")
    assert _field(form, "2(e)")[0] == "at least 7.0e2 MWh"
    row = made.to_frame("runs").iloc[0]
    # 700 MWh x 3.6e9 J; 2e6 h x 3600 s
    assert (row.energy_joules_low, row.accelerator_seconds_high) == (700 * 3.6e9, 7.2e9)
    assert row[["energy_joules", "energy_joules_high", "accelerator_seconds"]].isna().all()
    card = cyclonedx.to_dict(made)["metadata"]["component"]["modelCard"]
    told = {one["name"]: one["value"] for one in card["properties"]}
    assert told["flopledger:training-compute:flop"] == "not known"
    assert told["flopledger:training-compute:flop-at-least"].startswith("7.2")
    assert "flopledger:training-compute:flop-low-90" not in told
    # Bounds decide, and still nobody says 1.
    assert told["flopledger:regime:eu-gpai-1e23:probability-exceeded"] == "> 0.999"
    bounds = card["considerations"]["environmentalConsiderations"]
    assert {one["value"] for one in bounds["properties"]} == {
        "at least 700,000 kWh", "at most 5,000 kWh",
    }  # fmt: skip
    text = model_card.render(made)
    assert "energy_mwh_at_least: 700.0" in text
    assert "flop: null" in text


def test_a_withheld_digest_is_no_digest(released: AuditReport) -> None:
    policy = Policy(schema=SCHEMA, audience="public", keys=["run.*.tokens"])
    public = bundle.redact(released, policy)
    for made in (cyclonedx.to_dict(public), spdx.to_dict(public)):
        text = json.dumps(made)
        assert '"withheld"' not in text
        assert released.case.sha256 not in text


def test_where_the_case_lies_is_in_no_document(full: AuditReport) -> None:
    folder = str(full.case.folder)
    for name in ("html", "markdown", "json", "csv", "annex-xi", "spdx", "cyclonedx", "model-card"):
        suffix = {"annex-xi": ".md"}.get(name)
        assert folder not in str(forms.render(full, name, suffix, created=None)), name
