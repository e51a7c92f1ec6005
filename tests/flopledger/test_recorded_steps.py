"""Step ledgers of a run record as evidence: counted while the run went, added up, checked."""

import datetime as dt
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from unittest import mock

import pytest

from flopledger.auditing import AuditReport, audit
from flopledger.cases.case import AuditCase
from flopledger.commands import main
from flopledger.logs import run_records
from profilers.steps.record.ledger import StepLedger

HEAD = 'schema = "flopledger/case/1"\ntitle = "t"\n'
#: One step: 3 x 10^14 model FLOP, of it 10^14 forward, and 10^14 of recomputation.
FORWARD, BACKWARD, RECOMPUTE = 10**14, 2 * 10**14, 10**14
SECOND = 1_000_000  # in microseconds


def recorded(
    run: Path,
    *,
    rank: int = 0,
    world: int = 1,
    flop: int | None = FORWARD,
    steps: int = 100,
    tokens: int = 4096,
    stated: int = 0,
    bounds: tuple[int, int | None] | None = None,
    **options: object,
) -> Path:
    """One process on one H100: a step every second; ``stated``: the Trainer's own total."""
    with mock.patch("os.getpid", return_value=os.getpid() + rank):
        ledger = StepLedger.create(run, versions={}, rank=rank, world_size=world, **options)
    ledger.device(
        "cuda", name="NVIDIA H100 80GB HBM3", uuid=f"GPU-{rank + 1}", memory_bytes=80 << 30
    )
    cost = ledger.cost(
        model="GPT",
        mode="train",
        inputs=["int64[1, 4096]"],
        flop=flop and {"forward": FORWARD, "backward": BACKWARD, "recompute": RECOMPUTE},
        by_dtype={"bf16": FORWARD + BACKWARD} if flop else {},
        recompute_by_dtype={"bf16": RECOMPUTE} if flop else {},
        bounds=bounds,
        how="meta",
    )
    start = ledger_start(ledger)
    ledger.steps(
        first=1,
        end_us=[start + SECOND * (index + 1) for index in range(steps)],
        duration_us=[SECOND] * steps,
        wait_us=[0] * steps,
        optimizer=["AdamW"] * steps,
        tokens=[tokens] * steps,
        tokens_from=["inputs"] * steps,
        samples=[1] * steps,
        calls=[[(cost, 1)]] * steps,
    )
    if stated:
        text = f"transformers' Trainer states total_flos = {stated} after step {steps}; a claim"
        ledger.note("stated-total-flos", "info", text)
    ledger.seal("finished", steps)
    return ledger.folder


def ledger_start(ledger: StepLedger) -> int:
    header = json.loads((ledger.folder / "ledger.jsonl").read_text().splitlines()[0])
    return int(header["clock"]["monotonic_ns"]) // 1000


def audited(folder: Path, evidence: list[str], figures: str = "", head: str = "") -> AuditReport:
    path = folder / "case.toml"
    path.write_text(
        f'{HEAD}{head}[[run]]\nname = "r"\nevidence = {json.dumps(evidence)}\n{figures}\n'
    )
    return audit(AuditCase.load(path), trace=False)


def codes(report: AuditReport) -> dict[str, str]:
    return {finding.code: finding.severity for finding in report.findings}


def test_a_record_of_steps_is_a_count(tmp_path: Path) -> None:
    recorded(tmp_path / "rec")
    report = audited(tmp_path, ["rec"])
    (run,) = report.runs
    assert run.figures.tokens.quantity.best == 100 * 4096
    assert run.model_flop.best == pytest.approx(100 * (FORWARD + BACKWARD))
    assert run.hardware_flop.best == pytest.approx(100 * (FORWARD + BACKWARD + RECOMPUTE))
    assert run.figures.precision == "bf16"
    assert run.figures.device_count.quantity.best == 1
    assert run.figures.device_seconds.quantity.best == pytest.approx(100, rel=0.02)
    # 3e14 FLOP a second on an H100 of 989.4e12
    assert run.utilisation["bf16"].best == pytest.approx(0.303, rel=0.02)
    recomputed = 1 + RECOMPUTE / (FORWARD + BACKWARD)
    assert run.hfu["bf16"].best == pytest.approx(run.utilisation["bf16"].best * recomputed)
    assert str(run.verdict) == "consistent"
    assert any(name.endswith("ledger.jsonl") for name in run.evidence_digests)


@pytest.mark.parametrize(
    ("bounds", "routes"),
    [
        ((FORWARD + BACKWARD, None), "at least"),  # nobody knows how much more
        ((0, None), "none"),  # routing was invented: the figure is one of many
        ((FORWARD + BACKWARD, (FORWARD + BACKWARD) * 101 // 100), "counted"),
    ],
)
def test_a_figure_with_wide_bounds_is_no_count(
    tmp_path: Path, bounds: tuple[int, int | None], routes: str
) -> None:
    recorded(tmp_path / "rec", bounds=bounds)
    claim = "[claim]\nflop = 3.0e15\n"  # a tenth of the figure
    report = audited(tmp_path, ["rec"], head=claim)
    assert (report.combined is not None) is (routes == "counted")
    (run,) = report.runs
    found = run.figures.recorded_flop
    if routes == "none":
        assert found is None
        assert "claim-contradicted" not in codes(report)
        return
    assert codes(report)["claim-contradicted"] == "error"  # below what is certain


def test_steps_stand_where_no_device_could_be_read(tmp_path: Path) -> None:
    """As ``flopledger run`` leaves it on a machine without a driver: telemetry without a sample."""
    nowhere = "dcgm=http://127.0.0.1:9/metrics"
    words = ["run", "-q", "--source", nowhere, "--out", str(tmp_path / "rec"), "--", "true"]
    assert main(words) == 0
    recorded(tmp_path / "rec")
    report = audited(tmp_path, ["rec"])
    assert report.combined.flop.best == pytest.approx(100 * (FORWARD + BACKWARD))
    assert codes(report)["no-devices"] == "warning"
    assert "evidence-unread" not in codes(report)
    (journal,) = (tmp_path / "rec/telemetry").glob("node=*/journal.jsonl")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:1], *lines[2:]]))  # a line gone: the record is altered
    assert audited(tmp_path, ["rec"]).combined is None


def test_a_claim_is_held_against_the_record(tmp_path: Path) -> None:
    recorded(tmp_path / "rec")
    claim = "[claim]\nflop = 3.0e16\n"
    assert "claim-contradicted" not in codes(audited(tmp_path, ["rec"], head=claim))
    lie = "[claim]\nflop = 9.0e16\n"
    assert codes(audited(tmp_path, ["rec"], head=lie))["claim-contradicted"] == "error"


def test_a_record_that_its_devices_cannot_have_done_leaves_no_figure(tmp_path: Path) -> None:
    # 100 steps in 100 s, and the case says that they took 10 s: 3e15 FLOP/s on one H100.
    recorded(tmp_path / "rec")
    wrong = "accelerator_hours = 0.002777778\nwall_clock_hours = 0.002777778"
    report = audited(tmp_path, ["rec"], wrong)
    assert codes(report)["device-time-mismatch"] == "warning"
    # The evidence's own time is used, so the record stands.
    assert report.runs[0].combined is not None


def test_the_trainers_own_total_is_rederived_and_accuses_nobody(tmp_path: Path) -> None:
    # 100 steps of 3e14 FLOP are 3e16; the Trainer counts what its rule counts.
    recorded(tmp_path / "near", stated=29 * 10**15)
    report = audited(tmp_path, ["near"])
    assert report.runs[0].figures.claimed_flop.quantity.best == 2.9e16
    assert report.runs[0].figures.claimed_flop.grade == "claim"
    assert "counter-implausible" not in codes(report)
    recorded(tmp_path / "far", stated=45 * 10**15)
    report = audited(tmp_path, ["far"])
    assert codes(report)["counter-implausible"] == "info"
    assert report.runs[0].model_flop.best == pytest.approx(3e16)  # never averaged in
    assert str(report.verdict) == "consistent"


def test_records_of_several_starts_add_up(tmp_path: Path) -> None:
    recorded(tmp_path / "one", steps=100)
    recorded(tmp_path / "two", steps=50)
    report = audited(tmp_path, ["one", "two"])
    assert report.runs[0].figures.tokens.quantity.best == 150 * 4096
    assert report.runs[0].model_flop.best == pytest.approx(150 * (FORWARD + BACKWARD))


def test_folders_of_ranks_of_one_job_are_one_record(tmp_path: Path) -> None:
    """Four ranks on two nodes without a shared disk: as if they lay in one folder."""
    for rank in range(4):
        recorded(tmp_path / f"node-{rank // 2}", rank=rank, world=4)
        recorded(tmp_path / "all", rank=rank, world=4)
    report = audited(tmp_path, ["node-0", "node-1"])
    whole = audited(tmp_path, ["all"])
    (run,), (expected,) = report.runs, whole.runs
    assert run.model_flop.best == pytest.approx(4 * 100 * (FORWARD + BACKWARD))
    assert run.model_flop.best == pytest.approx(expected.model_flop.best)
    assert run.figures.tokens.quantity.best == 4 * 100 * 4096
    assert run.figures.device_count.quantity.best == 4
    assert run.figures.device_seconds.quantity.best == pytest.approx(400, rel=0.02)
    assert codes(report)["records-joined"] == "info"
    assert "ranks-missing" not in codes(report)
    assert len([name for name in run.evidence_digests if name.endswith("ledger.jsonl")]) == 4
    alone = audited(tmp_path, ["node-0"])
    assert codes(alone)["ranks-missing"] == "warning"
    assert alone.runs[0].figures.recorded_flop.quantity.best is None


def attempts_apart(folder: Path, *, resume: int = 6, model: str = "GPT") -> list[str]:
    """Ten steps in one folder, killed; ten after the sixth in another."""
    from tests.injection.ledgers import process

    process(folder / "first", steps=10, seal=None, pid=1)
    process(
        folder / "second",
        at=60,
        up=65,
        first=resume + 1,
        resume=resume,
        steps=10,
        pid=2,
        model=model,
    )
    return ["first", "second"]


def test_attempts_in_folders_of_their_own_are_one_record(tmp_path: Path) -> None:
    names = attempts_apart(tmp_path)
    report = audited(tmp_path, names)
    # 16 steps of 300 FLOP stand, 4 of the first attempt were done again.
    assert report.runs[0].model_flop.best == pytest.approx(16 * 300)
    assert report.runs[0].figures.tokens.quantity.best == 16 * 64
    assert codes(report)["records-joined"] == "info"
    again = audited(tmp_path, names[::-1])
    assert again.runs[0].model_flop.best == pytest.approx(16 * 300)


def test_attempts_of_which_nothing_was_done_again_add_up(tmp_path: Path) -> None:
    report = audited(tmp_path, attempts_apart(tmp_path, resume=10))
    assert report.runs[0].model_flop.best == pytest.approx(20 * 300)
    assert "records-joined" not in codes(report)


def test_another_model_goes_on_with_nothing(tmp_path: Path) -> None:
    report = audited(tmp_path, attempts_apart(tmp_path, model="Critic"))
    assert report.runs[0].model_flop.best == pytest.approx(20 * 300)


def test_where_several_may_be_the_beginning_none_is_chosen(tmp_path: Path) -> None:
    from tests.injection.ledgers import process

    names = attempts_apart(tmp_path)
    process(tmp_path / "beside", at=0.1, up=5.1, steps=10, seal=None, pid=3)
    report = audited(tmp_path, [*names, "beside"])
    assert report.runs[0].model_flop.best == pytest.approx(30 * 300)
    assert "records-joined" not in codes(report)


def test_a_folder_of_folders_of_ranks_is_one_record(tmp_path: Path) -> None:
    for rank in range(3):
        recorded(tmp_path / "job" / f"node-{rank}", rank=rank, world=3)
    report = audited(tmp_path, ["job"])
    assert report.runs[0].model_flop.best == pytest.approx(3 * 100 * (FORWARD + BACKWARD))


@pytest.mark.parametrize("other", ["a-rank-twice", "another-size", "altered"])
def test_folders_that_are_not_surely_of_one_job_stay_lower_bounds(
    tmp_path: Path, other: str
) -> None:
    recorded(tmp_path / "one", rank=0, world=2)
    folder = recorded(tmp_path / "two", rank=1, world=3 if other == "another-size" else 2)
    names = ["one", "two"]
    if other == "a-rank-twice":  # of another job at the same time: whose is rank 0?
        recorded(tmp_path / "three", rank=1, world=2)
        names.append("three")
    if other == "altered":
        path = folder / "ledger.jsonl"
        path.write_bytes(path.read_bytes().replace(b"4096", b"8192"))
    report = audited(tmp_path, names)
    found = report.runs[0].figures.recorded_flop
    parts = 1 if other == "altered" else len(names)
    assert found.quantity.best is None
    assert found.quantity.interval.low == pytest.approx(parts * 100 * (FORWARD + BACKWARD))
    assert "records-joined" not in codes(report)


def test_a_record_without_a_figure_makes_the_sum_a_lower_bound(tmp_path: Path) -> None:
    recorded(tmp_path / "one")
    recorded(tmp_path / "two", flop=None)
    found = audited(tmp_path, ["one", "two"]).runs[0].figures.recorded_flop
    assert found.quantity.best is None
    assert found.quantity.interval.low == pytest.approx(100 * (FORWARD + BACKWARD))


def copied(tmp_path: Path, name: str = "copy") -> Path:
    """Lay a copy of the record ``rec`` beside it; return the copy's one ledger."""
    shutil.copytree(tmp_path / "rec", tmp_path / name)
    (ledger,) = tmp_path.glob(f"{name}/steps/*/ledger.jsonl")
    return ledger


def rechained(ledger: Path, old: bytes, new: bytes) -> None:
    """Change a ledger and make its chain hold again, as whoever writes it can."""
    prev, lines = "0" * 64, []
    # Whole numbers only: the same digits inside of a clock's would make it another process's ledger.
    for line in re.sub(rb"\b%b\b" % old, new, ledger.read_bytes()).splitlines():
        line = json.dumps(json.loads(line) | {"prev": prev}).encode()
        prev = hashlib.sha256(line).hexdigest()
        lines.append(line + b"\n")
    ledger.write_bytes(b"".join(lines))


@pytest.mark.parametrize("order", [["rec", "copy"], ["copy", "rec"]])
@pytest.mark.parametrize("kept", [None, -1, -300])
def test_a_record_and_a_copy_of_it_count_once(tmp_path: Path, order: list[str], kept: int) -> None:
    """``kept``: bytes of the copy, which was taken while the run went."""
    recorded(tmp_path / "rec")
    ledger = copied(tmp_path)
    ledger.write_bytes(ledger.read_bytes()[:kept])
    report = audited(tmp_path, order)
    assert report.runs[0].figures.tokens.quantity.best == 100 * 4096
    assert report.runs[0].model_flop.best == pytest.approx(100 * (FORWARD + BACKWARD))
    assert codes(report)["duplicate-evidence"] == "info"


def test_two_ends_of_one_ledger_do_not_add_up(tmp_path: Path) -> None:
    recorded(tmp_path / "rec")
    rechained(copied(tmp_path), b"4096", b"8192")
    report = audited(tmp_path, ["rec", "copy"])
    assert codes(report)["record-forked"] == "error"
    assert report.runs[0].model_flop.best == pytest.approx(100 * (FORWARD + BACKWARD))


@pytest.mark.parametrize("appended", [False, True])
def test_an_altered_copy_does_not_hide_the_record(tmp_path: Path, appended: bool) -> None:
    recorded(tmp_path / "rec")
    ledger = copied(tmp_path)
    whole = ledger.read_bytes()  # the altered one is the longer one, each time
    more = b'{"seq": 999, "prev": "0"}\n'
    ledger.write_bytes(whole + more if appended else whole.replace(b"4096", b"40960"))
    report = audited(tmp_path, ["copy", "rec"])
    assert codes(report)["ledger-broken"] == "error"
    assert report.runs[0].figures.tokens.quantity.best == 100 * 4096


def test_records_that_share_a_rank_are_not_added_up(tmp_path: Path) -> None:
    recorded(tmp_path / "rec")
    copied(tmp_path)
    recorded(tmp_path / "rec", steps=70)
    recorded(tmp_path / "copy", steps=60)
    report = audited(tmp_path, ["rec", "copy"])
    assert codes(report)["record-overlaps"] == "error"
    alone = audited(tmp_path, ["rec"])  # the longer one
    assert report.runs[0].figures.tokens == alone.runs[0].figures.tokens
    assert report.runs[0].model_flop == alone.runs[0].model_flop


def test_a_changed_ledger_gives_nothing(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "rec")
    path = folder / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b"4096", b"8192"))
    report = audited(tmp_path, ["rec"])
    assert report.runs[0].figures.tokens is None
    assert report.runs[0].figures.recorded_flop is None
    assert codes(report)["ledger-broken"] == "error"
    assert str(report.runs[0].verdict) == "needs-explanation"


def test_tokens_that_the_case_states_otherwise_are_a_mismatch(tmp_path: Path) -> None:
    recorded(tmp_path / "rec")
    report = audited(tmp_path, ["rec"], "tokens = 1e6")
    assert codes(report)["amount-mismatch"] == "warning"


def test_the_record_of_a_run_says_when_a_threshold_will_be_crossed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flopledger.commands import main

    recorded(tmp_path / "rec")
    assert main(["estimate", str(tmp_path / "rec"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    crossing = next(one for one in answer["crossings"] if one["regime"] == "eu-gpai-1e23")
    # 1e23 / 3e14 FLOP a second = 3.33e8 s = 92,593 hours
    assert crossing["wall_clock_hours"] == pytest.approx(1e23 / 3e14 / 3600, rel=0.02)
    assert crossing["tokens"] == pytest.approx(1e23 / 3e14 * 4096, rel=0.02)
    # That is 10.6 years after the record; 1e25 would take a thousand, which is no date.
    ended = next(fact["value"] for fact in answer["facts"] if fact["name"] == "recorded_until")
    day = dt.datetime.fromisoformat(f"{crossing['date']}T00:00:00+00:00").timestamp()
    assert day == pytest.approx(ended + 1e23 / 3e14, abs=2 * 86400 + 0.02 * 1e23 / 3e14)
    far = next(one for one in answer["crossings"] if one["regime"] == "eu-systemic-risk-1e25")
    assert far["date"] is None


def test_a_threshold_that_was_crossed_inside_the_record(tmp_path: Path) -> None:
    # The original holds all but 1.5e16 of 1e25: half of the 100 steps of 3e14.
    recorded(tmp_path / "rec")
    report = audited(tmp_path, ["rec"], head="[base_model]\nflop = 9.999999985e24\n")
    crossing = next(one for one in report.crossings if one.regime == "eu-systemic-risk-1e25")
    assert crossing.share_of_run == pytest.approx(0.5, abs=0.02)
    begun = next(fact.value for fact in report.facts if fact.name == "recorded_from")
    assert crossing.date == dt.datetime.fromtimestamp(begun + 50, dt.UTC).date()


def test_a_folder_without_a_record_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flopledger.commands import main

    assert main(["estimate", str(tmp_path)]) == 2
    assert "without a run record" in capsys.readouterr().err


def test_each_launch_of_a_record_has_a_file_that_its_reader_knows():
    assert all(map(run_records.is_own, ("run.json", "run-2.json", "run-17.json", "steps")))
    assert not any(map(run_records.is_own, ("run-old.json", "run-2.json.bak", "trainer.log")))


def test_an_estimate_names_a_record_as_it_is_called_and_not_where_it_lies(tmp_path, capsys):
    """A folder may look like a pattern; where it lies on somebody's machine is in no document."""
    recorded(tmp_path / "run[1]")
    page = tmp_path / "page.html"
    assert main(["estimate", str(tmp_path / "run[1]"), "--html", str(page), "--json"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["title"] == "Estimate of run[1]"
    assert str(tmp_path) not in shown
    assert str(tmp_path) not in page.read_text("utf-8")


def test_a_name_that_is_no_text_is_told(tmp_path, capsys):
    folder = tmp_path / os.fsdecode(b"l\xe4ufe")
    recorded(folder)
    for verb in (
        ["estimate", str(folder)],
        ["seal", str(folder), "--out", str(tmp_path / "b.zip")],
    ):
        if verb[0] == "seal":
            assert main(["keygen", "--out", str(tmp_path)]) == 0
            verb += ["--key", str(tmp_path / "flopledger.key")]
        assert main(verb) == 2
        told = capsys.readouterr().err
        assert "is not UTF-8 text, which a document has to be: rename it" in told
        assert "on its own account" not in told
