"""The page of a merge: everything that strangers say in it is inert, bounded, and counted."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import browser

from flopledger import bundle
from flopledger.bundle import statement, strict, summary, writing
from flopledger.bundle.summary import Identities
from flopledger.commands import _merge_page, main
from flopledger.errors import FlopledgerError
from flopledger.reports import markdown, pdf
from flopledger.reports.html import render_document
from tests.flopledger.reports.conftest import HOSTILE

AUDIT = Identities(None).audit()


def _hex(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> bundle.PrivateKey:
    folder = tmp_path_factory.mktemp("keys")
    bundle.generate_key(folder)
    return bundle.load_private(folder / "flopledger.key")


def _site(folder: Path, key: bundle.PrivateKey, name: str, *runs: dict[str, Any]) -> Path:
    told = {
        "schema": summary.SCHEMA, "site": name, "audit": AUDIT, "verdict": "consistent",
        "runs": list(runs),
    }  # fmt: skip
    predicate = statement.Predicate(
        schema=statement.SCHEMA, kind="audit", title=name, verdict="consistent",
        tool=statement.Tool(version="0", data_digests={}, environment={}),
    )  # fmt: skip
    out = folder / f"{_hex(name + repr(runs))[:12]}.zip"
    content = {statement.SUMMARY: json.dumps(told).encode()}
    writing.write(out, content, predicate, [key])
    return out


def sealed_site(folder: Path, key: bundle.PrivateKey, name: str) -> Path:
    """Seal an honest site with one run."""
    return _site(folder, key, name, _run(digest=_hex(name)))


def _run(name: str = "run", **changes: Any) -> dict[str, Any]:
    flop = {"low": 0.9e22, "best": 1e22, "high": 1.2e22}
    return {"name": name, "kind": "pretraining", "flop": flop, **changes}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, key: bundle.PrivateKey) -> Path:
    """Merge an honest site, a copy of its run, a hostile one, a broken one and a nested merge."""
    folder = tmp_path_factory.mktemp("merge")
    windows = [{"id": _hex("gpu"), "windows": [[0.0, 100.0]]}]
    text = HOSTILE[:480]
    sites = [
        _site(folder, key, "north", _run(digest=_hex("e"), devices=windows)),
        _site(folder, key, "copy", _run(digest=_hex("e"), devices=windows)),
        _site(folder, key, text, _run(text, devices=windows), _run("word " * 90)),
    ]
    inner = folder / "inner.zip"
    bundle.merge(sites[:2], out=inner, title=text)
    broken = folder / "<img src=x>.zip"
    broken.write_bytes(sites[0].read_bytes()[:-3])
    out = folder / "all.zip"
    bundle.merge([inner, sites[2], broken], out=out, keys=[key], title=text)
    return out


def test_one_page_says_it_all(hostile: Path, key: bundle.PrivateKey) -> None:
    made = _merge_page.document(hostile, [key.public])
    assert [section.key for section in made.sections] == [
        "sites", "findings", "signatures", "left-out", "thresholds", "errors", "terms", "provenance",
    ]  # fmt: skip
    assert made.verdict == "needs-explanation"
    assert "1 bundle was left out" in made.lead
    text = markdown.render(made)
    assert "duplicate-run" in text
    assert "overlapping-device-time" in text
    # Each threshold with its regime's own comparison: Korea's is reached, the others are exceeded.
    assert re.search(r"\| kr-ai-act-1e26 \| ≥ 1e26 \|", text)
    assert re.search(r"\| us-ca-sb53-1e26 \| \\> 1e26 \|", text)
    tree = text.split("## Who signed what", 1)[1].split("\n## ", 1)[0]
    # The merge; below it the inner merge with its two sites, and the hostile site.
    depths = [len(found[1]) for found in re.finditer(r"^( *)- \*\*", tree, re.MULTILINE)]
    assert sorted(depths) == [0, 2, 2, 4, 4]
    assert tree.count("(known)") == 4  # the inner merge is unsigned
    assert "unsigned: its members' signatures stand for it" in tree
    nobody = markdown.render(_merge_page.document(hostile, []))
    assert "(known)" not in nobody
    assert "named none" in nobody


def test_it_is_the_same_twice_and_for_everybody(
    hostile: Path, key: bundle.PrivateKey, tmp_path: Path
) -> None:
    page = render_document(_merge_page.document(hostile, [key.public]))
    assert page == render_document(_merge_page.document(hostile, [key.public]))
    for screen in (("--window-size=1200,900",), ("--window-size=420,900",)):
        assert browser.accessibility(page, tmp_path, *screen) == []


def test_strangers_words_do_nothing(hostile: Path, tmp_path: Path) -> None:
    page = render_document(_merge_page.document(hostile, []))
    file = tmp_path / "merge.html"
    probe = "<script>document.title = String(window.pwned);</script>"
    file.write_text(page.replace("http-equiv", "data-off").replace("</body>", f"{probe}</body>"))
    made, asked = browser.visit(file, tmp_path)
    assert "<title>undefined</title>" in made
    assert asked == []
    assert pdf.render(_merge_page.document(hostile, [])).startswith(b"%PDF")


def test_a_thousand_sites_fit_on_a_page(key: bundle.PrivateKey, tmp_path: Path) -> None:
    paths = [_site(tmp_path, key, f"s{n}", _run(digest=_hex(str(n)))) for n in range(600)]
    out = tmp_path / "all.zip"
    bundle.merge(paths, out=out, keys=[key])
    page = render_document(_merge_page.document(out, []))
    # 601 points of the tree, 300 of them shown; 601 rows, 500 shown and the total kept.
    assert "301 more entries" in page
    assert "101 more rows" in page
    assert len(page) < 6e6


def test_the_verbs(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(hostile), "--html", str(tmp_path / "m.html")]) == 0
    assert (tmp_path / "m.html").read_text().startswith("<!DOCTYPE html>")
    assert main(["report", str(hostile), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("# ")
    assert main(["report", str(hostile), "--format", "spdx"]) == 2
    assert "html, pdf, markdown" in capsys.readouterr().err


def test_no_page_of_a_bundle_that_does_not_hold(
    hostile: Path, key: bundle.PrivateKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.zip"
    data = bytearray(hostile.read_bytes())
    data[data.find(b'"verdict"') + 14] ^= 1
    bad.write_bytes(data)
    assert main(["report", str(bad), "--html", str(tmp_path / "m.html")]) == 2
    assert "does not hold" in capsys.readouterr().err
    one = _site(tmp_path, key, "alone", _run())
    assert main(["report", str(one), "--html", str(tmp_path / "m.html")]) == 2
    assert "not a merge" in capsys.readouterr().err
    assert not (tmp_path / "m.html").exists()


@pytest.mark.parametrize(
    "excluded", [5, None, [5], [{"sha256": "a"}], [{"sha256": 1, "file": [], "reason": {}}]]
)
def test_what_the_merger_tells_of_left_out_files_has_a_form(
    hostile: Path, key: bundle.PrivateKey, tmp_path: Path, excluded: Any
) -> None:
    """``excluded`` is the merger's word: the one part that does not follow from the sites."""
    from flopledger.bundle.archive import Archive
    from flopledger.bundle.verification import read_seal

    out = tmp_path / "m.zip"
    with Archive.open(hostile) as archive:
        told = read_seal(archive).statement
        files = {name: archive.content(name, limit=1 << 24) for name in told.digests}
    result = strict.loads(files[statement.MERGED], what="merged")
    files[statement.MERGED] = strict.dumps(result | {"excluded": excluded})
    writing.write(out, files, told.predicate, [key])
    found = bundle.verify(out)
    assert [one.file for one in found.problems] == [statement.MERGED]
    with pytest.raises(FlopledgerError, match="excluded"):
        _merge_page.document(out, [])


def test_errors_are_told_as_they_were_added(key: bundle.PrivateKey, tmp_path: Path) -> None:
    """Two runs of 1e22 (0.9 to 1.2) that share a quarter of their log variance.

    Shared part of each half-width: sqrt(0.25) = 1/2, so down 2 x 0.5e21 = 1e21 and up 2e21. Own part:
    sqrt(0.75) each, in quadrature sqrt(2 x 0.75) = 1.2247 times 1e21 and 2e21. Together
    sqrt(1e21^2 + 1.2247e21^2) = 1.5811e21 down.
    """
    sites = [
        _site(tmp_path, key, n, _run(digest=_hex(n), shared={"utilisation": 0.25})) for n in "ab"
    ]
    done = bundle.merge(sites, out=tmp_path / "m.zip", keys=[key])
    told = done.result["errors"]
    assert told["shared"] == {"utilisation": pytest.approx({"down": 1e21, "up": 2e21})}
    assert told["own"] == pytest.approx({"down": 1.5**0.5 * 1e21, "up": 1.5**0.5 * 2e21})
    assert told["end_by_end"] == {"down": 0.0, "up": 0.0}
    assert told["independent"] == pytest.approx({"down": 2**0.5 * 1e21, "up": 2**0.5 * 2e21})
    assert told["common"] == pytest.approx({"down": 2e21, "up": 4e21})
    assert done.total is not None
    assert done.total.low == pytest.approx(2e22 - 2.5**0.5 * 1e21)


def test_the_same_words_without_evidence_are_not_proof(
    key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """Round figures coincide: two sites may have done the same work, or one may be told twice."""
    stated = _run(digest=_hex("words"), stated=True)
    sites = [_site(tmp_path, key, name, stated, stated | {"name": "second"}) for name in "ab"]
    done = bundle.merge(sites, out=tmp_path / "m.zip", keys=[key])
    # Each site lists two runs: low counts one site's, 2 x 0.9e22; best all four, 4e22; high 4 x 1.2e22.
    assert done.total is not None
    assert done.total.low == pytest.approx(1.8e22)
    assert done.total.best == pytest.approx(4e22)
    assert done.total.high == pytest.approx(4.8e22)
    assert "same-words" in {one.code for one in done.findings}
    assert "duplicate-run" not in {one.code for one in done.findings}
    alone = bundle.merge(sites[:1], out=tmp_path / "one.zip", keys=[key])
    assert alone.total is not None
    assert alone.total.best == pytest.approx(2e22)
    assert "same-words" not in {one.code for one in alone.findings}


def test_one_site_cannot_keep_the_others_from_being_added_up(
    key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """Runs that claim one device thousands of times, names of megabytes: left out, and soon."""
    windows = [[10.0 * n, 10.0 * n + 5] for n in range(256)]
    gpu = [{"id": _hex("g"), "windows": windows}]
    good = sealed_site(tmp_path, key, "good")
    bad = [
        _site(tmp_path, key, "greedy", *[_run(f"{n}", devices=gpu) for n in range(400)]),
        _site(tmp_path, key, "long", *[_run(f"{n:05}" + "x" * 480) for n in range(2100)]),
        _site(tmp_path, key, "inputs", *[
            _run(f"{n}", shared={f"{n} {k} " + "y" * 480: 0.001 for k in range(100)})
            for n in range(21)
        ]),
    ]  # fmt: skip
    began = time.process_time()
    done = bundle.merge([good, *bad], out=tmp_path / "m.zip", keys=[key])
    assert time.process_time() - began < 30
    assert done.excluded == 3
    assert done.total == bundle.merge([good], out=tmp_path / "n.zip", keys=[key]).total
    assert bundle.verify(tmp_path / "m.zip").ok


def test_many_overlaps_are_settled_and_listed_in_short(
    key: bundle.PrivateKey, tmp_path: Path
) -> None:
    """300 runs of 1e22 on one device for the same 100 s count as one, below and at best."""
    gpu = [{"id": _hex("g"), "windows": [[0.0, 100.0]]}]
    sites = [
        _site(tmp_path, key, f"s{n}", _run(digest=_hex(f"d{n}"), devices=gpu)) for n in range(300)
    ]
    done = bundle.merge(sites, out=tmp_path / "m.zip", keys=[key])
    assert done.total is not None
    assert (done.total.low, done.total.best) == (pytest.approx(0.9e22), pytest.approx(1e22))
    assert done.total.high == pytest.approx(300 * 1.2e22)
    told = [one.message for one in done.findings if one.code == "overlapping-device-time"]
    # 299 pairs with the one that counts: 200 by name, 99 in a sentence.
    assert len(told) == 201
    assert told[-1].startswith("99 more pairs")


def test_a_trace_of_shared_device_time_is_a_trace() -> None:
    from flopledger.reports import merge_sections

    told = {"duplicate_of": None, "flop": {"low": 1.0, "best": 2.0, "high": 3.0}}
    # A second of four months: 1 / 1e7 is no "1e-05%".
    assert "less than 0.01% of its device time" in merge_sections._how(told | {"repeated": 1e-7})
    assert "all but the 25% of its device time" in merge_sections._how(told | {"repeated": 0.25})
