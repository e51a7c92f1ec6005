"""Chromium without a window, and axe-core, as the tests use them. Neither is shipped."""

import functools
import json
import os
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars",
    "--no-default-browser-check", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-features=OptimizationHints,MediaRouter",
)  # fmt: skip
HOW = "apt-get install chromium"
HOW_AXE = "npm pack axe-core && tar xzf axe-core-*.tgz, then FLOPLEDGER_AXE=package/axe.min.js"


@functools.cache
def chromium() -> str:
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"NOT CHECKED in a browser: no Chromium on this machine ({HOW})")
    return found


@functools.cache
def axe() -> str:
    root = Path(__file__).parents[3]
    places = (os.environ.get("FLOPLEDGER_AXE", ""), root / "build/axe/package/axe.min.js")
    found = next((Path(place) for place in places if place and Path(place).is_file()), None)
    if found is None:
        pytest.skip(f"NOT CHECKED for accessibility: no axe-core on this machine ({HOW_AXE})")
    return found.read_text("utf-8")


def dump(page: Path, profile: Path, *options: str) -> str:
    """Load ``page``, let its scripts run, give the document as it then stands."""
    command = [
        chromium(), *_QUIET, f"--user-data-dir={profile}", "--virtual-time-budget=4000",
        *options, "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    return done.stdout.decode("utf-8", "replace")


def visit(page: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """Load ``page``; give the document as it then stands, and every address that it asked for."""
    log = profile / "net.json"
    made = dump(page, profile, f"--log-net-log={log}", *options)
    events = json.loads(log.read_text("utf-8", "replace").rstrip().rstrip(",") + _end(log))
    found = []
    for event in events["events"]:
        details = event.get("params", {})
        # Chromium asks its maker about itself, in nobody's name; a page asks in its own.
        asked = details.get("initiator", "not an origin") != "not an origin"
        if asked and re.match(r"(?:https?|wss?|ftp):", details.get("url", "")):
            found.append(details["url"])
    return made, list(dict.fromkeys(found))


def printed(page: Path, profile: Path) -> list[str]:
    """Print ``page`` (on Letter, the lower of the two usual sizes); give the words of each sheet."""
    from pypdf import PdfReader

    made = profile / "printed.pdf"
    dump(page, profile, "--no-pdf-header-footer", f"--print-to-pdf={made}")
    sheets = (sheet.extract_text() for sheet in PdfReader(made).pages)
    return [unicodedata.normalize("NFKC", text) for text in sheets]  # "fi" may be one sign


def _end(log: Path) -> str:
    """Close a log that Chromium did not get to close."""
    return "" if log.read_text("utf-8", "replace").rstrip().endswith("}") else "]}"


def accessibility(page: str, folder: Path, *options: str) -> list[dict[str, Any]]:
    """Run axe-core inside ``page`` (without its policy, which forbids foreign scripts)."""
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    runner = (
        "axe.run(document, {resultTypes: ['violations']}).then(function (r) {"
        "var out = document.createElement('pre'); out.id = 'axe';"
        "out.textContent = JSON.stringify(r.violations.map(function (v) { return {id: v.id,"
        "impact: v.impact, nodes: v.nodes.map(function (n) { return n.html.slice(0, 200); })}; }));"
        "document.body.appendChild(out); });"
    )
    file = folder / "axe.html"
    file.write_text(
        bare.replace("</body>", f"<script>{axe()}</script><script>{runner}</script></body>")
    )
    made = dump(file, folder / "profile", *options)
    match = re.search(r'<pre id="axe">(.*?)</pre>', made, re.DOTALL)
    assert match is not None, "axe gave no answer"
    from html import unescape

    found: list[dict[str, Any]] = json.loads(unescape(match[1]))
    return found
