"""The outside of the program, name by name: verbs, case keys, JSON keys and types, codes, exit codes.

What is promised stands here, and where the promise itself is at hand (``CONTRACT.md`` beside the shared
data), it is read in place, so that a name which it adds is missed here.
"""

import json
import re
from pathlib import Path

import pytest

from flopledger.cases.spec import CaseSpec, ClaimSpec, ModelSpec, RunSpec
from flopledger.commands import main
from flopledger.regimes import all_regimes

NUMBER = (int, float)
ENDS = {"low": (*NUMBER, type(None)), "high": (*NUMBER, type(None))}
BEST = {**ENDS, "best": (*NUMBER, type(None))}
#: key -> type, a tuple of types, a nested table, or a list's one kind of entry; "range" is a number or
#: its two ends
TABLE = (dict, type(None))
AUDIT = {
    "schema": str,
    "title": str,
    "tool": {"version": str, "data_digests": dict, "seed": int},
    "verdict": str,
    "claim": TABLE,
    "estimates": [
        {
            "method": str,
            "run": str,
            "basis": str,
            "flop": BEST,
            "level": float,
            "bound_only": bool,
            "inputs": list,
            "assumptions": list,
            "independence_group": str,
        }
    ],
    "combined": TABLE,
    "runs": [
        {
            "name": str,
            "tokens": "range",
            "samples": "range",
            "accelerator": (str, type(None)),
            "accelerator_count": "range",
            "accelerator_seconds": "range",
            "timed_seconds": "range",
            "energy_joules": "range",
            "model_flop": "range",
            "achieved_flop_per_second_per_accelerator": "range",
            "utilisation": dict,
            "precision_supported": list,
            "status": (str, type(None)),
        }
    ],
    "facts": [
        {"name": str, "value": object, "unit": object, "file": str, "locator": str, "grade": str}
    ],
    "findings": [{"code": str, "severity": str, "message": str, "evidence": list}],
    "regimes": [
        {
            "id": str,
            "threshold_flop": NUMBER,
            "comparator": str,
            "ledger": str,
            "flop": BEST,
            "probability_exceeded": (*NUMBER, type(None)),
            "zone": (str, type(None)),
            "in_force": (str, type(None)),
        }
    ],
    "sensitivity": [{"input": str, "log_variance_share": NUMBER}],
    "would_change": list,
}

RUN = '[[run]]\nname = "r"\nmodel = "m"\ntokens = 15e12\nsequence_length = 8192\n'
MODEL = "[model.m]\nparameters = 70.6e9\n"
HOURS = (
    'accelerator = "NVIDIA H100 80GB HBM3"\nprecision = "bf16"\naccelerator_count = 8192\n'
    "accelerator_hours = 6.4e6\nmfu = 0.40\n"
)
#: name: (verdict, exit code, case)
CASES = {
    # 6 x 70.6e9 x 15e12 = 6.354e24
    "consistent": ("consistent", 0, f"[claim]\nflop = 6.4e24\n{MODEL}{RUN}{HOURS}"),
    "inconsistent": ("inconsistent", 1, f"[claim]\nflop = 6.4e25\n{MODEL}{RUN}"),
    "needs-explanation": ("needs-explanation", 3, f"[claim]\nflop = 8.5e24\n{MODEL}{RUN}"),
    "undetermined": (
        "undetermined",
        3,
        '[claim]\nflop = 1e24\n[[run]]\nname = "r"\naccelerator = "H100"\naccelerator_hours = 1e6\n',
    ),
    # 6 x 69e9 x 1e12 = 4.14e23, more than a third of 8.28e23
    "lineage": (
        "consistent",
        0,
        "[claim]\nflop = 4.1e23\n[base_model]\nflop = 8.28e23\n[model.m]\nparameters = 69e9\n"
        '[[run]]\nname = "r"\nkind = "continued"\nmodel = "m"\ntokens = 1e12\n',
    ),
    "without a claim": ("consistent", 0, f"{MODEL}{RUN}{HOURS}"),
    "bounds": (
        "undetermined",
        3,
        '[model.m]\nparameters = 70e9\n[[run]]\nname = "r"\nmodel = "m"\ntokens = { at_least = 15e12 }\n',
    ),
}


def misfits(value, wanted, place="$"):
    """List where ``value`` lacks a key or has another type."""
    if wanted == "range":
        ends = isinstance(value, dict) and {"low", "high"} <= set(value)
        ok = value is None or ends or (isinstance(value, NUMBER) and not isinstance(value, bool))
        return [] if ok else [f"{place}: {value!r}"]
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            return [f"{place}: no table"]
        lacking = [f"{place}.{key}: missing" for key in wanted if key not in value]
        return lacking + [
            found
            for key, kind in wanted.items()
            if key in value
            for found in misfits(value[key], kind, f"{place}.{key}")
        ]
    if isinstance(wanted, list):
        return [
            found
            for index, entry in enumerate(value)
            for found in misfits(entry, wanted[0], f"{place}[{index}]")
        ]
    return [] if isinstance(value, wanted) else [f"{place}: {type(value).__name__}"]


def zeros(value, place="$"):
    """List the figures that are nought: what is missing must be null."""
    if isinstance(value, dict):
        return [found for key, one in value.items() for found in zeros(one, f"{place}.{key}")]
    if isinstance(value, list):
        return [
            found for index, one in enumerate(value) for found in zeros(one, f"{place}[{index}]")
        ]
    is_figure = not re.search(r"probability_exceeded|log_variance_share", place)
    return [place] if is_figure and value == 0 and not isinstance(value, bool) else []


@pytest.fixture
def told(tmp_path, capsys):
    """Write a case, call the verb, give exit code and what it printed."""

    def call(verb, text, *options):
        path = tmp_path / "case.toml"
        path.write_text(f'schema = "flopledger/case/1"\ntitle = "t"\n{text}')
        code = main([verb, str(path), *options])
        return code, capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", CASES)
def test_keys_types_verdicts_and_exit_codes(told, name):
    verdict, code, text = CASES[name]
    exit_code, out = told("audit", text, "--json", "--no-trace")
    report = json.loads(out)
    assert (report["verdict"], exit_code) == (verdict, code)
    assert misfits(report, AUDIT) == []
    assert zeros(report) == []
    assert report["schema"] == "flopledger/audit/1"
    if report["claim"] is not None:
        assert {"flop", "basis", "implied_range"} <= set(report["claim"])
        low, high = report["claim"]["implied_range"]
        assert low <= high
    if report["combined"] is not None:
        assert misfits(report["combined"], {"flop": BEST, "level": float}) == []
    known = {regime.id for regime in all_regimes()}
    assert {one["id"] for one in report["regimes"]} <= known
    assert {one["zone"] for one in report["regimes"]} <= {"below", "indeterminate", "above", None}


def test_estimate_has_the_schema_of_an_audit(told, capsys):
    code, out = told("estimate", f"{MODEL}{RUN}{HOURS}", "--json")
    report = json.loads(out)
    assert (code, report["claim"]) == (0, None)
    assert misfits(report, AUDIT) == []
    by_options = [
        "estimate", "--parameters", "70e9", "--tokens", "15e12", "--sequence", "8192",
        "--kind", "pretraining", "--precision", "bf16", "--accelerator", "H100 SXM",
        "--accelerator-count", "8192", "--wall-clock-hours", "800", "--mfu", "0.4", "--json",
    ]  # fmt: skip
    assert main(by_options) == 0
    assert misfits(json.loads(capsys.readouterr().out), AUDIT) == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (["eu-gpai-1e23"], 0),
        (["eu-gpai-1e23", "kr-ai-act-1e26"], 0),
        (["us-eo14110-1e26"], 0),
        (["no-such-regime"], 2),
        (["eu-gpai-1e23", "no-such-regime"], 2),
        *(([regime.id], 0) for regime in all_regimes()),
    ],
)
def test_regimes_by_name(told, asked, code):
    options = [word for one in asked for word in ("--regime", one)]
    text = CASES["lineage"][2]
    exit_code, out = told("audit", text, "--json", "--no-trace", *options)
    assert exit_code == code
    if code == 0:
        listed = json.loads(out)["regimes"]
        assert sorted(one["id"] for one in listed) == sorted(asked)
        for one in listed:
            # a regime that ended is told to have: its zone is no present duty
            assert (one["status"] == "revoked") is (one["ended"] is not None)
            assert (one["zone"] is None) is (one["ended"] is not None)


@pytest.mark.parametrize(
    ("flop", "regime", "chance"),
    [
        # exactly at the threshold: > is not met, >= is
        ("1e26", "us-ca-sb53-1e26", 0),
        ("1e26", "kr-ai-act-1e26", 1),
        ("1e25", "eu-systemic-risk-1e25", 0),
        ("1.0000001e25", "eu-systemic-risk-1e25", 1),
        ("0.9999999e26", "kr-ai-act-1e26", 0),
    ],
)
def test_exactly_at_a_threshold(told, flop, regime, chance):
    # A merged model whose parts are known exactly: nothing was trained here.
    text = (
        f"[base_model]\nflop = {flop}\n[model.m]\nparameters = 1e9\n"
        '[[run]]\nname = "e"\nkind = "evaluation"\nmodel = "m"\ntokens = 1e9\n'
    )
    _, out = told("audit", text, "--json", "--no-trace", "--regime", regime)
    (one,) = json.loads(out)["regimes"]
    assert one["probability_exceeded"] == chance


def test_errors_are_exit_code_2_and_one_line(told, capsys):
    for text in ("[claim]\nflop = -1\n", '[[run]]\nname = "r"\nunknown_key = 1\n', "[claim\n"):
        code, out = told("audit", text, "--json")
        assert (code, out) == (2, "")


@pytest.fixture(scope="module")
def contract():
    """The text of the contract, where it stands beside this repository or the shared data."""
    import os

    root = Path(os.environ.get("FLOPLEDGER_SHARED", Path(__file__).parents[2].parent / "shared"))
    path = root / "CONTRACT.md"
    if not path.is_file():
        pytest.skip("CONTRACT.md is not at hand (FLOPLEDGER_SHARED)")
    return path.read_text("utf-8")


def section(text, title):
    return text.split(f"## {title}")[1].split("\n## ")[0]


def test_every_promised_case_key_is_read(contract):
    text = section(contract, "Case file")
    block = text.split("```toml")[1].split("```")[0]
    tables: dict[str, set[str]] = {}
    table = ""
    for line in block.splitlines():
        head = re.match(r"\[+([a-z_.]+)\]+", line)
        table = head[1] if head else table
        key = re.match(r"#?\s*([a-z_]+) = ", line)
        if key and not line.startswith("#"):
            tables.setdefault(table, set()).add(key[1])
            tables[table] |= set(re.findall(r"or: (\w+) =", line)) - {"architecture"}
    also = re.search(r"`\[\[run\]\]` also takes (.+?)\.", text)[1]
    tables["run"] |= set(re.findall(r"`(\w+)`", also))
    assert tables["run"] <= set(RunSpec.__struct_fields__)
    assert tables["claim"] <= set(ClaimSpec.__struct_fields__)
    assert tables["model.base"] <= set(ModelSpec.__struct_fields__)
    assert {"schema", "title"} == tables[""]
    assert {"claim", "model", "run", "base_model"} <= set(CaseSpec.__struct_fields__)


def test_every_promised_audit_key_is_checked_here(contract):
    block = section(contract, "`audit --json`").split("```")[1]
    promised = set(re.findall(r'"([a-z_]+)"(?=[\s:,}\]])', block))
    checked = set(re.findall(r"'([a-z_]+)'", repr(AUDIT)))
    values = {
        "consistent", "inconsistent", "undetermined", "model", "hardware", "unknown", "counted",
        "energy", "info", "warning", "error", "below", "indeterminate", "above", "basis",
        "implied_range", "bf16",
    }  # fmt: skip
    assert promised - checked - values == set()


def test_every_promised_code_is_documented(contract):
    text = section(contract, "`audit --json`")
    codes = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", text.split("Finding codes")[1]))
    page = (Path(__file__).parents[2] / "docs" / "findings.md").read_text("utf-8")
    assert codes
    assert [code for code in sorted(codes) if f"| `{code}` |" not in page] == []


def test_every_promised_regime_is_on_record(contract):
    text = section(contract, "`audit --json`")
    ids = re.findall(r"`([a-z0-9-]+)`", text.split("Regime ids:")[1].split("...")[0])
    assert set(ids) <= {regime.id for regime in all_regimes()}


def test_every_promised_verb_and_option_is_there(contract, capsys):
    table = re.findall(r"^\| (`.+?) \|", section(contract, "Command line"), re.MULTILINE)
    for cell in table:
        for call in re.findall(r"`([a-z]+)([^`]*)`", cell):
            verb, rest = call
            if verb in ("flopledger", "fleet"):  # names of files; a verb whose door is kept free
                continue
            assert main([verb, "--help"]) == 0, verb
            shown = capsys.readouterr().out
            for option in re.findall(r"--[a-z-]+", rest):
                if verb not in ("case", "hardware", "regimes"):  # those have verbs of their own
                    assert option in shown, (verb, option)
