"""``flopledger count``: its JSON against the published schema, its tables, its errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
jsonschema = pytest.importorskip("jsonschema")
pytestmark = pytest.mark.trace
ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/reference/count-1.schema.json").read_text())
MIXTRAL = {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 1000,
}
OPTIONS = {
    "--batch", "--sequence", "--mode", "--by", "--depth", "--recompute", "--convention",
    "--crosscheck", "--explain", "--html", "--csv", "--json", "--decoder-sequence", "--image",
    "--latent", "--text-tokens", "--audio-frames", "--quick", "--fresh",
}  # fmt: skip


@pytest.fixture
def config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MIXTRAL))
    return str(tmp_path / "config.json")


@pytest.fixture
def run(capsys):
    from flopledger.commands import main

    def runner(*arguments):
        code = main(["count", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return runner


def answer(run, *arguments):
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    found = json.loads(out)
    jsonschema.validate(found, SCHEMA)
    return found


def test_json_follows_the_schema(run, config):
    found = answer(run, config, "--batch", "2", "--sequence", "16", "--crosscheck")
    flop = found["flop"]
    assert flop["total"] == flop["forward"] + flop["backward"]
    assert found["by_module"][""] == flop["total"]
    assert sum(found["by_op"].values()) == sum(found["by_dtype"].values()) == flop["total"]
    terms = found["polynomial"]["terms"]
    assert sum(c * 2**b * 16**s for c, b, s in terms) == flop["total"]
    # 6 of 8 experts of 3 * 64 * 96 in 3 layers stay idle
    assert found["parameters"]["total"] - found["parameters"]["active"] == 18 * 3 * 64 * 96
    opinions = {opinion["counter"]: opinion for opinion in found["crosscheck"]}
    assert set(opinions) == {"closed-form", "torch", "fvcore"}
    assert opinions["closed-form"]["ratio"] == 1
    for opinion in opinions.values():
        causes = {reason["cause"] for reason in opinion["explained"]}
        assert "unexplained" not in causes
        if opinion["forward"] is not None:
            gap = sum(reason["flop"] for reason in opinion["explained"])
            assert opinion["forward"] - flop["forward"] == gap
    # experts: 2 rows a token, three matrices, 3 layers, 32 tokens
    experts = 2 * 32 * 2 * 3 * 64 * 96 * 3
    assert {"cause": "no-formula", "flop": -experts} in [
        {"cause": r["cause"], "flop": r["flop"]} for r in opinions["torch"]["explained"]
    ]


def test_quick_is_the_closed_form_alone(run, config):
    quick = answer(run, config, "--batch", "2", "--sequence", "16", "--quick")
    traced = answer(run, config, "--batch", "2", "--sequence", "16")
    assert quick["flop"] == traced["flop"]
    assert quick["parameters"] == traced["parameters"]
    assert quick["method"] == "closed-form"
    assert quick["elementwise"] is None  # a formula does not know it, and 0 would be a lie
    assert [finding["code"] for finding in quick["findings"]] == ["trace-missing"]


def test_quick_needs_no_torch(config):
    code = (
        "import sys; from flopledger.commands import main;"
        f"main(['count', {config!r}, '--sequence', '16', '--quick', '--json']);"
        "print('HEAVY', sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "HEAVY []" in done.stdout


def test_a_terminal_sees_the_closed_form_while_it_waits(config, monkeypatch):
    from rich.console import Console

    from flopledger.commands import count as verb

    said = []

    class Terminal(Console):
        is_terminal = True

        def status(self, text):
            said.append(text)
            status = super().status(text)
            status.update = said.append
            return status

    monkeypatch.setattr("rich.console.Console", Terminal)
    step = {"batch": 1, "sequence": 16, "backward": True, "recompute": False, "remembered": True}
    with verb._waiting(config, "dense", step):
        pass
    assert "by the closed form" in said[-1]


def test_remembered_until_told_otherwise(run, config):
    first = answer(run, config, "--sequence", "16")
    second = answer(run, config, "--sequence", "16")
    assert first["notes"] == []
    (note,) = second["notes"]
    assert "--fresh" in note
    assert {**second, "notes": []} == first
    assert answer(run, config, "--sequence", "16", "--fresh") == first
    assert answer(run, config, "--sequence", "17")["notes"] == []


def test_unknown_input_size_is_null(run, config):
    found = answer(run, config)
    assert set(found["flop"].values()) == {None}
    assert found["by_op"] is None
    assert found["polynomial"] is None
    assert "not known" in found["no_polynomial"]
    assert found["parameters"]["total"] == 1000 * 64 * 2 + 64 + 3 * (
        64 * (64 + 2 * 32 + 64) + 8 * 64 + 8 * 3 * 64 * 96 + 2 * 64
    )


def test_a_message_in_a_file_is_one_line_and_names_the_option(run, config):
    code, _, told = run(config)
    assert code == 0
    (line,) = [line for line in told.splitlines() if "input-size-unknown" in line]
    assert line.endswith("is neither given nor fixed by the configuration; give --sequence N")


@pytest.mark.parametrize("call", ["count(None)", "polynomial(None, None)"])
def test_without_torch_it_says_what_to_install(call):
    code = f"import sys; sys.modules['torch'] = None; import flopcount; flopcount.{call}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("flopcount.errors.CountError: ")
    assert "pip install 'flopledger[trace]'" in last


def test_forward_alone(run, config):
    found = answer(run, config, "--sequence", "16", "--mode", "forward")
    assert found["flop"]["backward"] == 0
    assert found["flop"]["total"] == found["flop"]["forward"] > 0


def test_weights_tell_parameters_only(run, tmp_path):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file({"head.weight": torch.zeros(5, 7), "head.bias": torch.zeros(5)}, path)
    found = answer(run, str(path))
    assert found["parameters"]["total"] == 40
    assert found["flop"]["total"] is None


def test_tables_fold_equal_layers(run, config):
    code, out, _ = run(config, "--sequence", "16", "--by", "module", "--depth", "4")
    assert code == 0
    assert "0-2" in out
    assert "100.0%" in out
    _, by_op, _ = run(config, "--sequence", "16", "--by", "op")
    assert "aten._grouped_mm" in by_op


def test_a_model_of_images_is_not_asked_for_a_sequence(run, tmp_path):
    vit = {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
           "intermediate_size": 48, "image_size": 32, "patch_size": 16}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(vit))
    code, out, _ = run(str(tmp_path))
    assert code == 0
    assert "sequence" not in out


def test_what_the_file_does_not_say_of_dtypes_is_said(run, config, tmp_path):
    assert "sequence not given" in run(config)[1]
    told = answer(run, config, "--sequence", "16")
    assert told["by_dtype"].keys() == {"bf16"}
    assert "the file states no dtype: products are listed as bf16" in told["assumptions"]
    for key, note in (("float32", "stores float32"), ("bfloat16", None)):
        (tmp_path / "config.json").write_text(json.dumps({**MIXTRAL, "torch_dtype": key}))
        notes = answer(run, config, "--sequence", "16")["assumptions"]
        assert [note in text for text in notes if "bf16" in text] == ([True] if note else [])


def test_csv(run, config):
    code, out, _ = run(config, "--sequence", "16", "--by", "op", "--csv")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "op,flop,share"
    assert abs(sum(float(line.split(",")[2]) for line in lines[1:]) - 1) < 1e-4


def test_html_is_one_file_that_escapes(run, tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(MIXTRAL))
    out = tmp_path / "plot.html"
    code, _, _ = run(str(folder), "--sequence", "16", "--html", str(out))
    text = out.read_text()
    assert code == 0
    assert "icicle" in text
    assert "<script src=" not in text


def test_a_hostile_module_name_stays_text(tmp_path):
    import dataclasses

    from flopcount.model_files.counted_model import count_config
    from flopledger.reports.count_html import write_icicle

    (tmp_path / "config.json").write_text(json.dumps(MIXTRAL))
    counted = count_config(tmp_path, sequence=4)
    evil = "</script><script>alert(1)</script>"
    entries = tuple(dataclasses.replace(e, module=evil) for e in counted.count.entries)
    count = dataclasses.replace(counted.count, entries=entries)
    write_icicle(dataclasses.replace(counted, count=count, name=evil), tmp_path / "x.html")
    assert "<script>alert" not in (tmp_path / "x.html").read_text()


def test_explain_leads_from_one_convention_to_the_other(run, config):
    code, out, err = run(config, "--sequence", "16", "--explain", "megatron", "torch", "--json")
    assert code == 0, err
    found = json.loads(out)
    way = sum(term["flop"] for term in found["terms"])
    assert found["from"]["total"] + way == found["to"]["total"]
    assert all(term["reason"] for term in found["terms"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no such file"),
        (["nowhere.module:factory"], "cannot be imported"),
        (["json:loads"], "raised"),
        (["json:nothing"], "has no 'nothing'"),
        (["json:loads", "--image", "224"], "a factory have their own"),
        (["json:loads", "--input", "x=1x4"], "a factory have their own"),
        (["nowhere", "--image", "224"], "no such file"),
        (["{config}", "--mode", "sideways"], "--mode"),
        (["{config}", "--by", "colour"], "--by"),
        (["{config}", "--recompute", "full", "--mode", "forward"], "--recompute"),
        (["{config}", "--image", "wide"], "--image"),
        (["{config}", "--image", "224x"], "--image"),
        (["{config}", "--image", "0"], "--image"),
        (["{config}", "--sequence", "0"], "sequence"),
        # Beyond 64 bits, and 4e18 numbers of 8 bytes: no tensor has such a size.
        (
            ["{config}", "--sequence", "9" * 20],
            "inputs of this size cannot be made (batch 1, sequence 99",
        ),
        (["{config}", "--batch", "2000000000", "--sequence", "2000000000"], "give smaller sizes"),
        (["{config}", "--sequence", "8", "--convention", "folklore"], "folklore"),
        (["{config}", "--convention", "folklore"], "folklore"),
        (["{readme}", "--quick"], "--quick"),
        (["{config}", "--sequence", "8", "--quick", "--recompute", "full"], "--quick"),
        (["{config}", "--html", "x.html"], "input size is unknown"),
        (["{config}", "--crosscheck"], "input size is unknown"),
        (["{readme}"], "not known"),
    ],
)
def test_bad_usage_ends_with_two(run, config, tmp_path, arguments, message):
    readme = tmp_path / "README.md"
    readme.write_text("hello")
    filled = [a.format(config=config, readme=readme) for a in arguments]
    code, out, err = run(*filled)
    assert code == 2
    assert message in err
    assert "Traceback" not in err + out


def test_a_factory_brings_its_inputs(run, tmp_path, monkeypatch):
    (tmp_path / "my_model.py").write_text(
        "import torch\n"
        "def net(batch):\n"
        "    return torch.nn.Linear(8, 4), torch.zeros(batch, 8)\n"
        "def bare():\n"
        "    return torch.nn.Linear(8, 4)\n"
    )
    monkeypatch.chdir(tmp_path)
    found = answer(run, "my_model:net", "--batch", "3")
    assert found["flop"]["forward"] == 2 * 3 * 8 * 4
    assert found["parameters"]["total"] == 36
    assert answer(run, "my_model:bare")["flop"]["total"] is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("net.inner = net", "recursi"),
        ("net.forward = lambda x: 1 / 0", "division"),
        ("net.weight.data = torch.zeros(4, 9)", "shape"),
    ],
)
def test_models_that_fail_end_with_two(run, tmp_path, monkeypatch, body, message):
    name = f"failing_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        return self.inner(x) if hasattr(self, 'inner') else super().forward(x)\n"
        "def build():\n"
        f"    net = Net(8, 4)\n    {body}\n    return net, torch.zeros(2, 8)\n"
    )
    monkeypatch.chdir(tmp_path)
    code, _, err = run(f"{name}:build")
    assert code == 2
    assert message in err.lower()
    assert "Traceback" not in err


def test_help_names_every_option_and_imports_no_torch():
    code = (
        "import sys; from flopledger.commands import main; main(['count', '--help']);"
        "print('HEAVY', sorted({'torch', 'plotly', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "HEAVY []" in done.stdout
    assert all(option in done.stdout for option in OPTIONS)
    assert "Example:" in done.stdout


def test_a_module_called_model_has_a_box_of_its_own(tmp_path):
    from types import SimpleNamespace

    import torch

    import flopcount
    from flopledger.reports.count_html import write_icicle

    inner = torch.nn.Sequential()
    inner.add_module("model", torch.nn.Linear(4, 4))
    count = flopcount.count(inner, torch.zeros(2, 4))
    page = tmp_path / "page.html"
    write_icicle(SimpleNamespace(count=count, name="Named"), page)
    # The root and the module of that name: two ids, and the root is the parent of the other.
    assert '"ids":["(whole)","model"]' in page.read_text()
    assert '"parents":["","(whole)"]' in page.read_text()


def test_boxes_stand_by_size_and_then_by_number_with_their_own_figures(tmp_path):
    from types import SimpleNamespace

    from flopledger.reports.count_html import write_icicle

    modules = {"": 70, "10": 10, "2": 10, "9": 50}
    count = SimpleNamespace(by_module=modules, forward=30, backward=40)
    page = tmp_path / "page.html"
    write_icicle(SimpleNamespace(count=count, name="Named"), page)
    assert '"ids":["(whole)","9","2","10"]' in page.read_text()
    assert '"values":[70,50,10,10]' in page.read_text()


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("options", [["--crosscheck"], ["--explain", "megatron", "torch"]])
def test_no_figure_is_cut_on_a_narrow_terminal(width, options, tmp_path, capsys, monkeypatch):
    """A count that lost its last digits to the edge is another count."""
    from flopledger.commands import main

    monkeypatch.setenv("COLUMNS", str(width))
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 2048,
        "intermediate_size": 8192, "num_hidden_layers": 2, "num_attention_heads": 16,
        "vocab_size": 32000,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ["count", str(tmp_path / "config.json"), "--sequence", "4096", *options]
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown
    if "crosscheck" in answer:
        wanted = [answer["flop"]["total"], *answer["by_op"].values()]
        wanted += [one["forward"] for one in answer["crosscheck"]]
    else:
        wanted = [answer["from"]["total"], answer["to"]["total"]]
    for figure in wanted:
        assert f"{figure:,}" in shown
