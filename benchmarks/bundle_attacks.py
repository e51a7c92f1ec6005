"""What hostile bundles achieve: every byte changed, archives that trick and that explode, forged sites.

    python benchmarks/bundle_attacks.py [--all-values] [--only-bytes] [--write FILE]

Nothing here needs a network or a second machine. Python's own ``zipfile`` reads every archive, too,
so that the table shows what a reader that forgives would have taken.
"""

import argparse
import importlib.metadata
import io
import os
import platform
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from flopledger import bundle  # noqa: E402 - the checkout first
from flopledger.bundle import statement, writing  # noqa: E402
from flopledger.bundle.sealing import Choices  # noqa: E402
from flopledger.cases.case import AuditCase  # noqa: E402
from tests.flopledger.bundle import attacks  # noqa: E402

#: Bundles whose every byte is changed: the smallest there is, and a whole audit without its page.
CASE = ROOT / "examples/opt-175b/case.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all-values", action="store_true", help="255 values a byte, not one")
    parser.add_argument(
        "--only-bytes", action="store_true", help="the smallest bundle's bytes alone"
    )
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as draft:
        folder = Path(draft)
        lines = (
            _bytes(folder, all_values=chosen.all_values)
            if chosen.only_bytes
            else _report(folder, all_values=chosen.all_values)
        )
        text = "\n".join(lines)
    print(text)
    if chosen.write:
        chosen.write.write_text(text + "\n", encoding="utf-8")


def _bytes(folder: Path, *, all_values: bool) -> Iterator[str]:
    """Change every byte of the smallest bundle, and nothing else: what takes longest by far."""
    bundle.generate_key(folder)
    tiny = folder / "tiny.zip"
    _tiny(tiny, bundle.load_private(folder / "flopledger.key"))
    yield from _head()
    yield from _corruption({"two files and a seal": (tiny, all_values)})


def _report(folder: Path, *, all_values: bool) -> Iterator[str]:
    bundle.generate_key(folder)
    key = bundle.load_private(folder / "flopledger.key")
    tiny, whole, page = folder / "tiny.zip", folder / "whole.zip", folder / "page.zip"
    _tiny(tiny, key)
    case = AuditCase.load(CASE)
    bundle.seal_case(case, keys=[key], out=whole, trace=False, choices=Choices(html=False))
    bundle.seal_case(case, keys=[key], out=page, trace=False)
    yield from _head()
    yield from _corruption({"two files and a seal": (tiny, all_values), "an audit": (whole, False)})
    yield from _archives(tiny, folder / "hostile.zip")
    yield from _forgeries(tiny, key, folder)
    yield from _json(tiny, folder / "hostile.zip")
    yield from _speed(
        {
            "two files and a seal": tiny,
            "an audit": whole,
            "an audit with its page": page,
            "9,990 files": _many(folder / "many.zip", key),
            "300 MB": _large(folder / "large.zip", key),
        }
    )


def _head() -> Iterator[str]:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("cryptography", "msgspec")
    )
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False)
    yield "# Attacks on sealed bundles"
    yield ""
    yield f"Date: {time.strftime('%Y-%m-%d')}. Machine: {_cpu()}, {os.cpu_count()} cores. "
    yield f"Python {platform.python_version()}, {versions}, {openssl.stdout.strip()}."
    yield f"Command: `{shlex.join(['python', 'benchmarks/bundle_attacks.py', *sys.argv[1:]])}`."
    yield "Where the machine did other work meanwhile, times are upper bounds; ratios within a table hold."
    yield ""


def _corruption(bundles: dict[str, tuple[Path, bool]]) -> Iterator[str]:
    yield "## Every byte changed"
    yield ""
    yield "Each byte of the file in turn is given another value, and the bundle verified without a key."
    yield "`zipfile` took: the archives that Python's reader opens and whose checksums it finds in order."
    yield ""
    yield "| bundle | bytes | values a byte | verified | **undetected** | `zipfile` took | CPU ms |"
    yield "|---|---|---|---|---|---|---|"
    for name, (path, all_values) in bundles.items():
        yield _every_byte(name, path, all_values=all_values)
    yield ""


def _every_byte(name: str, path: Path, *, all_values: bool) -> str:
    good = path.read_bytes()
    assert bundle.verify(path).ok
    draw, target = random.Random(1), path.with_suffix(".changed")
    tried = missed = taken = 0
    began = time.process_time()
    spent_on_peer = 0.0
    for place, byte in enumerate(good):
        values = range(1, 256) if all_values else (draw.randrange(1, 256),)
        for mask in values:
            changed = good[:place] + bytes([byte ^ mask]) + good[place + 1 :]
            target.write_bytes(changed)
            missed += bundle.verify(target).ok
            tried += 1
            if mask == values[0]:
                before = time.process_time()
                taken += _zipfile_takes(changed)
                spent_on_peer += time.process_time() - before
    each = (time.process_time() - began - spent_on_peer) / tried * 1e3
    count = 255 if all_values else 1
    return (
        f"| {name} | {len(good):,} | {count} | {tried:,} | **{missed}** | "
        f"{taken:,} of {len(good):,} | {each:.2f} |"
    )


def _archives(tiny: Path, target: Path) -> Iterator[str]:
    good = tiny.read_bytes()
    yield "## Archives that trick or explode"
    yield ""
    yield "Peak is what `verify` allocates beyond the interpreter (tracemalloc)."
    yield ""
    yield "| archive | bytes | `flopledger verify` | ms | peak KiB | `zipfile` |"
    yield "|---|---|---|---|---|---|"
    groups: Iterable[tuple[str, bytes]] = (
        *attacks.structural(good), *attacks.named(good), *attacks.bombs(),
    )  # fmt: skip
    for what, content in groups:
        target.write_bytes(content)
        outcome, seconds, peak = _measured(target)
        took = "takes it" if _zipfile_takes(content, limit=1 << 20) else "refuses"
        yield (
            f"| {what} | {len(content):,} | {outcome} | {seconds * 1e3:.1f} | {peak / 1024:,.0f} | "
            f"{took} |"
        )
    yield ""


def _forgeries(tiny: Path, key: bundle.PrivateKey, folder: Path) -> Iterator[str]:
    """Let somebody without the key, and then its owner, hand in seals that are not what they seem."""
    (folder / "other").mkdir()
    bundle.generate_key(folder / "other")
    other = bundle.load_private(folder / "other" / "flopledger.key")
    earlier, target = folder / "earlier.zip", folder / "forged.zip"
    predicate = statement.Predicate(
        schema=statement.SCHEMA, kind="record", title="e",
        tool=statement.Tool(version="0", data_digests={}, environment={}),
    )  # fmt: skip
    writing.write(earlier, {"record/a": b"0\n"}, predicate, [key])
    yield "## Seals that are not what they seem"
    yield ""
    yield "In the archive's one form, so that `zipfile` takes each of them."
    yield ""
    yield "| seal | bytes | `flopledger verify` | ms | peak KiB |"
    yield "|---|---|---|---|---|"
    made = attacks.forgeries(tiny.read_bytes(), earlier.read_bytes(), key, other)
    for what, content in made:
        target.write_bytes(content)
        outcome, seconds, peak = _measured(target)
        yield f"| {what} | {len(content):,} | {outcome} | {seconds * 1e3:.1f} | {peak / 1024:,.0f} |"
    yield ""


def _json(tiny: Path, target: Path) -> Iterator[str]:
    yield "## JSON in place of the seal"
    yield ""
    yield "| JSON | bytes | outcome | ms | peak KiB |"
    yield "|---|---|---|---|---|"
    files = dict(attacks.files_of(tiny.read_bytes()))
    for what, data in attacks.sealed_json():
        target.write_bytes(attacks.canonical(list((files | {statement.SEAL: data}).items())))
        outcome, seconds, peak = _measured(target)
        yield f"| {what} | {len(data):,} | {outcome} | {seconds * 1e3:.1f} | {peak / 1024:,.0f} |"
    yield ""


def _speed(bundles: dict[str, Path]) -> Iterator[str]:
    yield "## How long an honest bundle takes"
    yield ""
    yield "Median of 20 (of 3 for the last), beside `sha256sum` of the same file (its start included) in"
    yield "the same run."
    yield ""
    yield "| bundle | bytes | verify, ms | verify and recompute, ms | sha256sum, ms |"
    yield "|---|---|---|---|---|"
    for name, path in bundles.items():
        times: dict[str, list[float]] = {"verify": [], "sum": []}
        for _ in range(20 if path.stat().st_size < 1e8 else 3):
            times["verify"].append(_timed(lambda path=path: bundle.verify(path)))
            times["sum"].append(_timed(lambda path=path: _sha256sum(path)))
        shown = "-"
        if name.startswith("an audit"):
            again = [
                _timed(lambda path=path: bundle.verify(path, recompute=True)) for _ in range(3)
            ]
            shown = f"{statistics.median(again):.0f}"
        yield (
            f"| {name} | {path.stat().st_size:,} | {statistics.median(times['verify']):.1f} | {shown} | "
            f"{statistics.median(times['sum']):.1f} |"
        )


def _sha256sum(path: Path) -> None:
    subprocess.run(["sha256sum", path], capture_output=True, check=True)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def _measured(path: Path) -> tuple[str, float, int]:
    began = time.perf_counter()
    found = bundle.verify(path)
    seconds = time.perf_counter() - began
    tracemalloc.start()
    bundle.verify(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return ("**takes it**" if found.ok else "refuses"), seconds, peak


def _zipfile_takes(content: bytes, *, limit: int = 1 << 30) -> bool:
    """Say whether Python's reader opens an archive and finds its checksums in order."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            whole = sum(info.file_size for info in archive.infolist())
            return whole > limit or archive.testzip() is None
    except Exception:  # noqa: BLE001 - a reader under attack may raise anything
        return False


PREDICATE = statement.Predicate(
    schema=statement.SCHEMA,
    kind="record",
    title="t",
    tool=statement.Tool(version="0", data_digests={}, environment={}),
)


def _tiny(out: Path, key: bundle.PrivateKey) -> None:
    writing.write(out, {"record/a": b"1 2 3\n"}, PREDICATE, [key])


def _many(out: Path, key: bundle.PrivateKey) -> Path:
    files = {f"record/{number:06d}": b"1 2 3\n" for number in range(9_990)}
    writing.write(out, files, PREDICATE, [key])
    return out


def _large(out: Path, key: bundle.PrivateKey) -> Path:
    content = out.with_suffix(".content")
    with content.open("wb") as file:
        for number in range(300):
            file.write(bytes([number % 256]) * 1_000_000)
    writing.write(out, {"record/large": content}, PREDICATE, [key])
    content.unlink()
    return out


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")


if __name__ == "__main__":
    main()
