"""Zip the challenge as EvalAI takes it: ``python pack.py [FOLDER]``.

Makes ``evaluation_script.zip`` (the script's files at its top) and ``challenge_config.zip`` (the
configuration, pages, annotations and the first zip). Equal files give equal bytes.
"""

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
_TIME = (2026, 1, 1, 0, 0, 0)


def pack(out: Path) -> tuple[Path, Path]:
    """Write both zips into ``out``; give their paths."""
    out.mkdir(parents=True, exist_ok=True)
    script, challenge = out / "evaluation_script.zip", out / "challenge_config.zip"
    _zip(script, {p.name: p for p in (HERE / "evaluation_script").glob("*.py")})
    files = {"challenge_config.yaml": HERE / "challenge_config.yaml", script.name: script}
    for folder in ("annotations", "templates"):
        files |= {f"{folder}/{path.name}": path for path in (HERE / folder).iterdir()}
    files["logo.png"] = HERE / "logo.png"
    _zip(challenge, files)
    return script, challenge


def _zip(path: Path, files: dict[str, Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _TIME), file.read_bytes())


if __name__ == "__main__":
    for made in pack(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "build"):
        print(made)
