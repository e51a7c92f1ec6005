"""Numbers of other countries, ranges and tables: one thousandth of the hours would accuse somebody."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger import logs
from flopledger.logs.notes import Notes
from flopledger.logs.readers.prose import groups, markup
from flopledger.logs.readers.prose import reader as prose

HOURS = 184_320 * 3600


def assembled(tmp_path, text, name="README.md"):
    path = tmp_path / name
    path.write_text(text)
    evidence = logs.read([logs.EvidenceFile(path=path, name=name)])
    return logs.assemble(evidence), evidence


def value(found):
    return None if found is None else found.value


@pytest.mark.parametrize(
    "written",
    [
        "184,320", "184'320", "184\u2019320", "184\u202f320", "184\u00a0320", "1,84,320", "184.32k",
        "\\num{184320}", "$184{,}320$", "1.8432e5",
    ],
)  # fmt: skip
def test_one_number_however_it_is_grouped(tmp_path, written):
    run, evidence = assembled(tmp_path, f"The training took {written} A100 GPU hours.")
    assert run.accelerator_seconds.value == pytest.approx(HOURS)
    assert "prose-ambiguous" not in {one.code for one in evidence.findings}


@pytest.mark.parametrize(
    "written", ["184.320", "184 320", "184,3", "180,000-190,000", "180k to 190k", "180k–190k"]
)
def test_what_can_be_read_in_two_ways_is_not_read_and_said(tmp_path, written):
    text = f"The training took {written} A100 GPU hours."
    run, _ = assembled(tmp_path, text)
    assert value(run.accelerator_seconds) is None
    (finding,) = [one for one in run.findings if one.code == "prose-ambiguous"]
    assert "accelerator_seconds" in finding.message


def test_a_dot_is_a_decimal_point_where_commas_part_thousands(tmp_path):
    # 1.125 hours x 3600 = 4050 s
    text = "The training took 1.125 GPU hours. Training saw 2,000,000 tokens."
    run, _ = assembled(tmp_path, text)
    assert run.accelerator_seconds.value == pytest.approx(4050)


@pytest.mark.parametrize(
    "text",
    [
        "The training took 21 A100 GPU-months.",
        "The training used five hundred and twelve A100 GPUs.",
        "The training used one hundred twelve A100 GPUs.",
    ],
)
def test_units_and_number_words_are_no_count_of_devices(tmp_path, text):
    run, _ = assembled(tmp_path, text)
    assert value(run.accelerator_count) is None


def test_device_years_and_weeks_are_times(tmp_path):
    # 21 x 365.25 x 86400 s
    run, _ = assembled(tmp_path, "The training took 21 A100 GPU-years.")
    assert run.accelerator_seconds.value == pytest.approx(21 * 365.25 * 86400)
    assert value(run.accelerator_count) is None


@pytest.mark.parametrize("unit", ["GPUh", "GPU-h", "GPU hrs", "A100 h", "A100-hours"])
def test_device_hours_in_short(tmp_path, unit):
    run, _ = assembled(tmp_path, f"The training took 184,320 {unit} on our A100 cluster.")
    assert run.accelerator_seconds.value == HOURS
    assert value(run.accelerator_count) is None


@pytest.mark.parametrize("written", ["2,000bn", "2 million million", "20 lakh"])
def test_a_number_with_more_behind_it_is_another_one(tmp_path, written):
    for text in (f"Training tokens: {written}", f"The model was trained on {written} tokens."):
        run, _ = assembled(tmp_path, f"{text}\n\nGPU hours: 5")
        assert value(run.tokens) is None


@pytest.mark.parametrize(
    "more",
    [
        "of which 300B tokens were code",
        "including 300B tokens of code",
        "three epochs of 667B tokens",
    ],
)
def test_a_part_of_the_tokens_is_no_second_total(tmp_path, more):
    run, _ = assembled(tmp_path, f"The model was trained on 2T tokens, {more}.")
    assert run.tokens.value == 2e12


def test_the_digits_of_a_parts_name_are_no_hours(tmp_path):
    run, _ = assembled(tmp_path, "The training ran on many A100 GPU hours of ours and 2T tokens.")
    assert value(run.accelerator_seconds) is None


def test_what_was_not_trained_was_not_trained(tmp_path):
    run, _ = assembled(tmp_path, "The model was not trained on 2 trillion tokens.\n\nTokens: 3T")
    assert run.tokens.value == 3e12


def test_a_sentence_of_a_contradicted_figure_gives_no_other(tmp_path):
    text = (
        "Theirs was trained on 2 trillion tokens with 1,720,320 GPU hours. "
        "Ours was trained on 1 trillion tokens. Training ran on 64 A100 GPUs."
    )
    run, _ = assembled(tmp_path, text)
    assert run.tokens is None
    assert run.accelerator_seconds is None
    assert run.accelerator_count.value == 64


ROWS = {
    "page.html": "<table><tr><th>Training tokens</th><td>2.0T</td></tr>"
    "<tr><th>GPU hours<td>184,320</tr></table><script>\nTraining tokens: 9T\n</script>",
    "lines.html": "<table>\n<tr>\n<td>Training tokens</td>\n<td>2.0T</td>\n</tr>\n<tr><td>GPU hours</td>\n"
    "<td>184,320</td></tr>\n</table>",
    "README.md": "| | |\n|---|---|\n| Training tokens | 2.0T |\n| GPU hours | 184,320 |\n",
    "paper.tex": "\\begin{tabular}{lr}\nTraining tokens & 2.0T \\\\ % 9T\nGPU hours & 184,320 \\\\ \\hline\n"
    "\\end{tabular}",
}


@pytest.mark.parametrize("name", ROWS)
def test_a_table_says_the_same_in_every_markup(tmp_path, name):
    run, _ = assembled(tmp_path, ROWS[name], name)
    assert run.tokens.value == 2e12
    assert run.accelerator_seconds.value == HOURS


def test_latex_powers_without_a_space(tmp_path):
    text = r"We train the model on $2\times10^{12}$ tokens, which is $8.1\times10^{22}$ FLOPs."
    run, _ = assembled(tmp_path, text, "paper.tex")
    assert (run.tokens.value, run.claimed_flop.value) == (2e12, 8.1e22)


def test_lines_keep_their_numbers():
    text = "<!-- a\nb -->\n<tr>\n<td>x</td>\n</tr>\nlast"
    assert list(markup.lines(text))[-1] == (6, "last")


@given(st.text(alphabet="0123456789., '’\u00a0\u202fkMBT-–$\\{}numto<>/trdh|&%", max_size=80))  # noqa: RUF001
def test_no_text_breaks_the_numbers(text):
    plain = groups.joined(text)
    for by_commas in (True, False):
        assert len(groups.veiled(plain, by_commas=by_commas)) == len(plain)
    list(markup.lines(text, is_latex=True))
    list(markup.lines(text))


@pytest.mark.parametrize(
    "piece",
    ["<tr>", "<tr><td>", "<script>", "<!--", "1 000 ", "1.000.", "1,00,", "1-2 to ", "& ", "$1"],
)
def test_a_hostile_text_is_read_in_time(tmp_path, piece):
    text = "Training tokens: 2T\n" + piece * (250_000 // len(piece))
    started = time.process_time()
    run, _ = assembled(tmp_path, text, "page.html")
    assert run.tokens.value == 2e12
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("written", "hours"),
    [("184.320", None), ("184'320", 184_320), ("184,320", 184_320), ("12-14", None)],
)
def test_hours_in_a_cards_template(tmp_path, written, hours):
    card = (
        "---\nlicense: mit\n---\n\n## Environmental Impact\n\n- **Hardware Type:** A100\n"
        f"- **GPU Hours:** {written}\n- **Hours used:** {written}\n"
    )
    (tmp_path / "README.md").write_text(card)
    evidence = logs.read([logs.EvidenceFile(path=tmp_path / "README.md", name="README.md")])
    seconds = {fact.value for fact in evidence.facts if fact.name == "accelerator_seconds"}
    used = {fact.value for fact in evidence.facts if fact.name == "hours_used"}
    assert used <= {hours}
    assert seconds <= {None if hours is None else hours * 3600}
    assert bool(used | seconds) == (hours is not None)
    assert ("prose-ambiguous" in {one.code for one in evidence.findings}) == (hours is None)


@pytest.mark.parametrize("written", ["2T+", "2T or more", "more than 2T", "over 2 trillion", ">2T"])
def test_lower_ends_are_bounds(tmp_path, written):
    for text in (f"Training tokens: {written}", f"The model was trained on {written} tokens."):
        run, _ = assembled(tmp_path, text)
        assert run.tokens is not None
        assert (run.tokens.value, run.tokens.bound) == (2e12, "at least")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The larger figure is the exact one; an equal one was rounded down; a smaller one contradicts.
        ("Trained on over 15T tokens. The model was trained on 15.6T tokens.", (15.6e12, "exact")),
        ("Trained on over 15T tokens. The model was trained on 15T tokens.", (15e12, "at least")),
        ("Trained on over 15T tokens. The model was trained on 13T tokens.", None),
        ("The model was trained over 3T tokens.", (3e12, "exact")),  # over means on
    ],
)
def test_more_than_beside_a_figure(tmp_path, text, expected):
    run, _ = assembled(tmp_path, text)
    assert (run.tokens and (run.tokens.value, run.tokens.bound)) == expected


def test_device_hours_of_more_than(tmp_path):
    run, _ = assembled(tmp_path, "Training used over 6 million H100 GPU hours.")
    assert (run.accelerator_seconds.value, run.accelerator_seconds.bound) == (2.16e10, "at least")


@pytest.mark.parametrize(
    "text",
    [
        "Pre-training takes only 180K H800 GPU hours per trillion tokens.",
        "We trained on 14.8T tokens, taking 180K H800 GPU hours for each trillion tokens.",
        "For training, each epoch took 200 A100 GPU hours.",
        "In training, every stage lasted 3 days on 8 A100 GPUs.",
    ],
)
def test_an_amount_per_part_is_no_amount_of_the_run(tmp_path, text):
    run, _ = assembled(tmp_path, text)
    assert run.accelerator_seconds is None
    assert run.wall_seconds is None


@pytest.mark.parametrize(
    "text",
    [
        "This model is fine-tuned from Llama-3.1-8B, which was trained on 15T tokens.",
        "It is based on Llama 2, which had been pretrained on 2T tokens, and we trained it on 8 A100 GPUs.",
        "The base model was trained on 2T tokens.",
    ],
)
def test_what_another_model_was_trained_on(tmp_path, text):
    run, evidence = assembled(tmp_path, text)
    assert run.tokens is None
    told = [one.message for one in evidence.findings if one.code == "prose-ambiguous"]
    assert any("of the model that this one began with" in one for one in told)


def test_the_model_itself_may_be_a_base_model(tmp_path):
    run, _ = assembled(tmp_path, "X is a 7B base model trained on 2T tokens.")
    assert run.tokens.value == 2e12


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The model was trained for 1.4M steps with a batch size of 4M tokens.", 1.4e6 * 4e6),
        ("Trained for 143,000 steps, batch size of 1024, sequence length of 2048.", 143e3 * 1024 * 2048),
        ("Trained 100k steps with 2k warmup steps, batch size 1024, context length 4096.", 1e5 * 1024 * 4096),
        ("The training ran 250k steps with 0.5M tokens per batch.", 250_000 * 500_000),
        ("Trained 1M steps, batch size 256, sequence length 128 for the first 900k steps, then 512.", None),
        ("Trained for 10k steps of 1M tokens per batch, then 5k steps of 4M tokens per batch.", None),
    ],
)  # fmt: skip
def test_steps_times_the_tokens_of_a_batch(tmp_path, text, tokens):
    run, _ = assembled(tmp_path, text)
    assert value(run.tokens) == tokens if tokens is not None else run.tokens is None


def test_node_hours_are_device_hours_where_a_node_is_told(tmp_path):
    run, _ = assembled(tmp_path, "Training took 12,000 node-hours on nodes with 8 A100 GPUs.")
    assert run.accelerator_seconds.value == 12_000 * 8 * 3_600
    run, _ = assembled(tmp_path, "Training took 12,000 node-hours.")
    assert run.accelerator_seconds is None
    (told,) = [one.message for one in run.findings if "node-hours" in one.message]
    assert "accelerator_hours" in told


@pytest.mark.parametrize(
    "line",
    [
        "trained " + " " * 1_400,
        "trained on A100 " + "-" * 1_400,
        "trained, based on " * 75,
        "trained 3 days on " * 75,
        "trained each epoch 5 GPU hours " * 45,
    ],
)
def test_a_hostile_text_ends_soon(line):
    notes = Notes("README.md")
    begin = time.process_time()
    prose.note(f"{line[:1_450]}\n" * 170, notes)
    # Quadratic matching took from tens of seconds to minutes here.
    assert time.process_time() - begin < 15
