"""One section of results, with its date, machine, command and versions, and its plot."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.counts.peers import versions

RESULTS = Path(__file__).resolve().parents[1] / "results"


def asked():
    """The command's own words, without where on this machine a file lies."""
    return " ".join(Path(word).name if "/" in word else word for word in sys.argv[1:])


def write(part, body):
    """One section of results with its date, machine, command and versions."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    head = (
        f"## Counting: {part}\n\n{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, "
        f"{os.cpu_count()} cores. `python benchmarks/counting.py {asked()}`\n\n"
        f"{versions()}\n\n"
    )
    (RESULTS / f"counting-{part}.md").write_text(head + body + "\n", encoding="utf-8")
    print(body)


COLOURS = {"exact": "#2a7f62", "wrong": "#d9903d", "raised": "#b8b8b8"}


def plot(part, title, rows, whole):
    """Horizontal bars, one counter a line: exact, wrong, raised. Plain SVG, no script in it."""
    left, width, line = 190, 520, 26
    height = 70 + line * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" '
        f'font-family="sans-serif" font-size="13" role="img" aria-label="{title}">',
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="22">{title}</text>',
    ]
    for index, (name, numbers) in enumerate(rows):
        y, x = 40 + index * line, left
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{name}</text>')
        for kind, colour in COLOURS.items():
            length = width * numbers[kind] / whole
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="18" fill="{colour}"/>'
            )
            x += length
        parts.append(f'<text x="{left + width + 6}" y="{y + 14}">{numbers["exact"]}</text>')
    x = left
    for kind, colour in COLOURS.items():
        parts.append(f'<rect x="{x}" y="{height - 22}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{height - 11}">{kind}</text>')
        x += 90
    (RESULTS / f"counting-{part}.svg").write_text(
        "\n".join([*parts, "</svg>", ""]), encoding="utf-8"
    )
