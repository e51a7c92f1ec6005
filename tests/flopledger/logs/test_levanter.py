"""Levanter's bars (written here in the form in which tqdm-loggable prints them)."""

from flopledger import logs

from .conftest import codes, value


def bar(done, total, elapsed, stamp="", what="train"):
    rest = f"rate:2.0s/it remaining:10:00 elapsed:{elapsed} postfix:loss=3.1"
    return f"{stamp}Progress on:{what} {done}it/{total} {rest}\n"


BEGIN = "Progress on:train -/900 rate:- remaining:? elapsed:00:00 postfix:-\n"


def test_counts_below_a_thousand_are_exact(written):
    text = BEGIN + bar("1.00", "900it", "05:00") + bar("30.0", "900it", "06:00")
    text += bar("12.0", "20.0it", "00:30", what="eval") + bar("484", "900it", "1:02:03")
    evidence = written({"train.log": text})
    facts = logs.assemble(evidence)
    assert facts.steps.number == 484
    assert value(evidence, "planned_steps") == 900
    # 3,600 + 2 x 60 + 3; the process may have gone on after its last bar
    assert facts.timed_seconds.number == 3_723
    assert facts.timed_seconds.bound == "at least"
    assert "figures-rounded" not in codes(evidence)


def test_counts_above_have_three_digits_and_it_is_said(written):
    text = bar("1.00", "10.0kit", "05:00") + bar("2.10k", "10.0kit", "1:10:00")
    evidence = written({"train.log": text})
    assert value(evidence, "steps") == 2_100
    (finding,) = [one for one in evidence.findings if one.code == "figures-rounded"]
    assert "give or take 5" in finding.message


def test_settings_make_the_end_exact(written):
    text = "TrainerConfig: num_train_steps: 12345\n"
    text += bar("1.00", "12.3kit", "05:00") + bar("12.3k", "12.3kit", "8:00:00")
    evidence = written({"train.log": text})
    assert value(evidence, "steps") == value(evidence, "planned_steps") == 12_345
    assert "figures-rounded" not in codes(evidence)


def test_a_process_that_was_preempted_begins_its_clock_again(written):
    def minutes(first, last):
        return "".join(
            bar(f"{30 * one:.0f}", "900it", f"{one - first + 1:02d}:00")
            for one in range(first, last + 1)
        )

    # A bar a minute, 30 steps each: to step 390, from the checkpoint at 300 on, and the end once more.
    text = minutes(1, 13) + minutes(11, 30) + bar("900", "900it", "20:00")
    evidence = written({"train.log": text})
    assert value(evidence, "steps") == 900
    assert value(evidence, "seen_seconds") == (13 + 20) * 60
    assert value(evidence, "lost_steps") == 90
    assert "resumed-run" in codes(evidence)


def test_another_training_below_gives_no_amount(written):
    text = bar("1.00", "900it", "05:00") + bar("900", "900it", "20:00")
    text += bar("1.00", "100it", "05:00") + bar("100", "100it", "09:00")
    evidence = written({"train.log": text})
    assert evidence.named("steps") == evidence.named("seen_seconds") == ()
    assert "several-runs" in codes(evidence)


def test_hosts_that_all_print_share_a_clock(written):
    stamp = "2026-03-09T02:{:02d}:00 - {} - tqdm_loggable.tqdm_logging - INFO :: "
    text = "".join(
        bar(f"{one}0.0", "900it", f"{one:02d}:0{host}", stamp.format(one, host))
        for one in range(1, 10)
        for host in (1, 0)
    )
    evidence = written({"train.log": text.replace("\n", "\r\n")})
    # The first bar is a minute's, as the others are: nothing came before it.
    assert evidence.named("first_step") == ()
    assert value(evidence, "steps") == 90
    assert value(evidence, "seen_seconds") == 9 * 60 + 1
