"""The file that every Python child imports first: it must not be noticed."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

from flopledger.injection import environment, read_processes
from flopledger.injection.environment import SITE

where = sys.modules["flopledger.injection.environment"]
CHILD = SITE.parent / "child.py"
LOOK = """
import json, os, sys
print(json.dumps({
    "path": sys.path, "argv": sys.argv, "site": "sitecustomize" in sys.modules,
    "modules": sorted(m for m in sys.modules if "flopledger" in m),
}))
"""


@pytest.mark.parametrize("path", [SITE / "sitecustomize.py", CHILD])
def test_old_pythons_can_read_it(path):
    ast.parse(path.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize(
    "flags", [[], ["-W", "error"], ["-P"], ["-B"], ["-X", "dev"], ["-s"], ["-O"]], ids=str
)
def test_a_child_without_torch_finds_everything_as_it_was(child, run_dir, flags):
    plain = child(*flags, "-c", LOOK, plain=True)
    watched = child(*flags, "-c", LOOK)
    assert (watched.stdout, watched.stderr) == (plain.stdout, plain.stderr)
    assert json.loads(watched.stdout)["modules"] == []
    assert read_processes(run_dir).python == 1


@pytest.mark.parametrize("flags", [["-I"], ["-E"], ["-S"]], ids=str)
def test_isolated_children_run_unseen(child, run_dir, flags):
    plain = child(*flags, "-c", LOOK, plain=True)
    watched = child(*flags, "-c", LOOK)
    assert watched.returncode == 0
    drop = {"path"} if flags == ["-S"] else set()  # -S never takes the folder off again
    one, other = json.loads(plain.stdout), json.loads(watched.stdout)
    assert {k: v for k, v in other.items() if k not in drop} == {
        k: v for k, v in one.items() if k not in drop
    }
    assert read_processes(run_dir).python == 0


def test_scripts_modules_stdin_and_zip_applications(child, tmp_path):
    (tmp_path / "look.py").write_text(LOOK)
    package = tmp_path / "app"
    package.mkdir()
    (package / "__main__.py").write_text(LOOK)
    zipapp.create_archive(package, tmp_path / "app.pyz")
    for words, more in (
        (["look.py", "--a", "b c"], {}),
        (["-m", "look", "x"], {}),
        (["-"], {"input": LOOK}),
        (["app.pyz", "1"], {}),
        (["look.py"], {"env": {"PYTHONSAFEPATH": "1"}}),
        (["look.py"], {"env": {"PYTHONPATH": ""}}),
        (["look.py"], {"env": {"PYTHONPATH": f"{tmp_path}:{tmp_path / 'app'}"}}),
    ):
        plain, watched = child(*words, plain=True, **more), child(*words, **more)
        assert plain.returncode == 0
        assert (watched.stdout, watched.stderr) == (plain.stdout, plain.stderr)


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nprint('mine', __name__, __file__, sys.modules['sitecustomize'].__file__)",
        "1 / 0",
        "import nothing_of_that_name",
        "import sys; sys.modules['sitecustomize'] = sys",
        "import sys; sys.path.insert(0, 'first')",
        "raise SystemExit(7)",
    ],
)
def test_the_users_own_sitecustomize_runs_as_ever(child, site, text):
    env = site(text)
    look = (
        LOOK + "\ntry:\n    import sitecustomize as s; print(s)\nexcept ImportError: print('none')"
    )
    plain, watched = child("-c", look, plain=True, env=env), child("-c", look, env=env)
    assert watched.returncode == plain.returncode
    assert watched.stdout == plain.stdout
    if "SystemExit" not in text:  # there the interpreter prints every frame
        assert watched.stderr == plain.stderr


def test_a_sitecustomize_that_brings_its_own_hooks_keeps_them(child, site, run_dir):
    env = site("import sys, types\nclass F:\n  def find_spec(self, *a): return None\n"
               "sys.meta_path.insert(0, F())")  # fmt: skip
    done = child("-c", "import sys; print(type(sys.meta_path[0]).__name__)", env=env)
    assert done.stdout == "F\n"


def test_grandchildren_exec_and_spawn_are_seen(child, run_dir, tmp_path):
    (tmp_path / "tree.py").write_text(
        "import multiprocessing as mp, os, subprocess, sys\n"
        "def nothing(): pass\n"
        "if __name__ == '__main__':\n"
        "    subprocess.run([sys.executable, '-c', 'pass'], check=True)\n"
        "    subprocess.run(['bash', '-c', f'{sys.executable} -c pass'], check=True)\n"
        "    worker = mp.get_context('spawn').Process(target=nothing)\n"
        "    worker.start(); worker.join()\n"
        "    os.execv(sys.executable, [sys.executable, '-c', 'pass'])\n"
    )
    done = child("tree.py")
    assert (done.returncode, done.stderr) == (0, "")
    # The script, two subprocesses, spawn's worker and its resource tracker, the exec.
    assert read_processes(run_dir).python in {5, 6}


def test_a_child_with_an_empty_environment_is_not_seen_and_lives(run_dir, child):
    code = "import subprocess, sys; subprocess.run(['env', '-i', sys.executable, '-c', 'print(1)'])"
    assert child("-c", code).stdout == "1\n"
    assert read_processes(run_dir).python == 1


def test_a_virtual_environment_is_seen(child, run_dir, tmp_path):
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "other")], check=True
    )
    done = child("-c", LOOK, python=tmp_path / "other" / "bin" / "python")
    assert (done.returncode, done.stderr) == (0, "")
    assert read_processes(run_dir).python == 1


def test_a_folder_that_cannot_be_written_changes_nothing(child, run_dir, tmp_path):
    shutil.rmtree(run_dir)
    plain, watched = child("-c", LOOK, plain=True), child("-c", LOOK)
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, plain.stdout, "")
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "torch.py").write_text("__version__ = '9'")
    watched = child("-c", "import torch; print(torch.__version__)", cwd=tmp_path / "fake")
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, "9\n", "")


def test_another_module_by_the_name_of_torch_is_left_alone(child, run_dir, tmp_path):
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '9'")
    (package / "optim.py").write_text("print('imported by somebody else')")
    done = child("-c", "import torch; print(torch.__version__)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "9\n", "")
    assert read_processes(run_dir).refused == {
        "its module torch is not PyTorch: it has no torch.optim": 1
    }


def test_nested_wrappers_do_not_pile_up(tmp_path):
    outer = environment({"PYTHONPATH": "a:b"}, tmp_path / "one")
    inner = environment(outer, tmp_path / "two")
    assert inner["PYTHONPATH"] == os.pathsep.join([str(SITE), "a", "b"])
    assert inner["FLOPLEDGER_RECORD"].endswith("two")


def test_a_read_only_installation_without_byte_code_costs_no_compilation(
    child, run_dir, monkeypatch, tmp_path
):
    installed = tmp_path / "installed" / "site"
    installed.mkdir(parents=True)
    shutil.copy(SITE / "sitecustomize.py", installed)
    shutil.copy(CHILD, installed.parent)
    (installed / "__pycache__").touch()  # a file: not even root can write byte code there
    monkeypatch.setattr(where, "SITE", installed)
    spare, then = environment({}, run_dir)["PYTHONPATH"].split(os.pathsep)
    assert then == str(installed)
    inner = environment({"PYTHONPATH": f"{spare}:{then}:a"}, run_dir)["PYTHONPATH"]
    assert inner == f"{spare}:{then}:a"
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    plain, watched = child("-c", LOOK, plain=True, env=env), child("-vc", LOOK, env=env)
    assert watched.stdout == plain.stdout
    assert f"matches {spare}/sitecustomize.py" in watched.stderr
    assert read_processes(run_dir).python == 1
    (tmp_path / "torch.py").write_text("__version__ = '9'")
    assert child("-c", "import torch", env=env).returncode == 0
    assert read_processes(run_dir).torch == 1
    where._spare.cache_clear()


def test_the_list_of_processes_is_bounded_and_hostile_lines_are_told(run_dir, child):
    target = run_dir / "processes" / f"{os.uname().nodename}.jsonl"
    target.write_bytes(b"x" * (1 << 20) + b"\n")
    size = target.stat().st_size
    assert child("-c", "pass").returncode == 0
    assert target.stat().st_size == size
    target.write_text('{"event": "python", "pid": 1}\n[]\n{"event": "refused", "pid": "x"}\n{')
    seen = read_processes(run_dir)
    assert (seen.python, seen.complete) == (1, False)


def test_a_child_without_torch_pays_less_than_two_milliseconds(run_dir, tmp_path):
    """Least processor time of interleaved starts; what others do on the machine only adds."""
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    watched = environment(plain, run_dir)
    least = {"plain": 9.0, "watched": 9.0}
    for turn in range(200):
        if turn > 40 and least["watched"] - least["plain"] < 0.002:
            break  # a busy machine takes longer to show the least
        for name, env in (("plain", plain), ("watched", watched)):
            least[name] = min(least[name], _seconds(env))
    assert least["watched"] - least["plain"] < 0.002


def _seconds(env: dict[str, str]) -> float:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], env)
    _, status, used = os.wait4(pid, 0)
    assert status == 0
    return used.ru_utime + used.ru_stime


def test_the_site_folder_holds_nothing_else():
    held = {p.name for p in Path(SITE).iterdir() if p.name != "__pycache__"}
    assert held == {"sitecustomize.py"}
