"""What a user mistypes or hands over by mistake: one sentence that says what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flopledger.commands import main


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["audit", "empty"], 'a case begins with: schema = "flopledger/case/1"'),
        (["count", "empty"], "empty: a file without a suffix is not known"),
        (["count", "words.txt"], "a '.txt' file is not known"),
        (["merge", "folder", "--out", "x.zip"], "folder: is a folder; give sealed bundles"),
        (["estimate", "words.txt"], "no log or document that any reader knows, and no case file"),
        (["estimate", "queue.txt"], "it is squeue's view of jobs that wait or run"),
    ],
)
def test_a_file_of_the_wrong_kind(command, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").touch()
    (tmp_path / "words.txt").write_text("hello world")
    (tmp_path / "queue.txt").write_text("  JOBID PARTITION  NAME USER ST TIME NODES\n")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert said in capsys.readouterr().err


def test_json_is_json_in_every_locale(tmp_path: Path):
    case = tmp_path / "case.toml"
    case.write_text(
        'schema = "flopledger/case/1"\ntitle = "Größe 模型 🚀"\n[[run]]\nname = "ü"\n',
        encoding="utf-8",
    )
    for encoding in ("ascii", "latin-1", "utf-8"):
        environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = subprocess.run(
            [sys.executable, "-m", "flopledger", "audit", str(case), "--json"],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert json.loads(done.stdout)["title"] == "Größe 模型 🚀", encoding
