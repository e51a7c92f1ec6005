"""Devices, processes and the batch of an optimizer step, by arithmetic over what a run says.

Global batch = a process's batch x accumulated passes x processes: two of them give the third.
"""

import math
from dataclasses import replace

from flopledger.logs.choosing import choose, computed
from flopledger.logs.evidence import Evidence
from flopledger.logs.run_facts import Resolved


def accelerator_count(evidence: Evidence, world: Resolved | None) -> Resolved | None:
    """Prefer what a machine description or the run says to what a host inventory lists."""
    figure = choose(evidence, "accelerator_count") or choose(evidence, "world_size") or world
    listed = choose(evidence, "visible_accelerators")
    if figure is not None or listed is None or listed.number == 1:
        return figure or listed
    if listed.facts[0].locator.startswith("lines "):
        return listed  # the run itself printed the table that its devices stand in
    # A host's inventory says what a run could have used there; which of them it did use is another matter,
    # and so is how many hosts the run had: of several, trackers list the one of rank 0.
    return replace(
        listed,
        bound="at most",
        is_whole_run=False,
        derivation=f"{listed.derivation}, listed on one host and perhaps idle",
    )


def each_process(evidence: Evidence) -> Resolved | None:
    """Give the samples of one process's pass; a loop's own word for it counts where it accumulates."""
    figure = choose(evidence, "per_process_batch")
    if figure is not None or choose(evidence, "gradient_accumulation") is None:
        return figure
    return choose(evidence, "loop_batch")


def batch_by_rates(evidence: Evidence) -> Resolved | None:
    """Samples a step from the Trainer's rates: what was planned, divided by the same time."""
    rate = choose(evidence, "planned_train_samples_per_second")
    seconds, steps = choose(evidence, "timed_seconds"), choose(evidence, "planned_steps")
    pace = choose(evidence, "planned_train_steps_per_second")
    if rate is None:
        return None
    if seconds is not None and steps is not None:
        batch, facts = (
            rate.number * seconds.number / steps.number,
            (*rate.facts, *seconds.facts, *steps.facts),
        )
    elif pace is not None:
        batch, facts = rate.number / pace.number, (*rate.facts, *pace.facts)
    else:
        return None
    whole = _whole_passes(evidence, batch)
    if whole is None and (
        batch < 0.75 or abs(batch - round(batch)) > max(0.02, 0.01 * batch) or seconds is None
    ):
        return None
    return computed(
        whole or round(batch),
        "samples",
        facts,
        "samples a second / steps a second, rounded to whole passes of the processes",
    )


#: The last batch of an epoch is smaller, so a mean batch may lie so far below a full one.
_SHORT_LAST_BATCH = 0.93


def _whole_passes(evidence: Evidence, batch: float) -> int | None:
    """Round a mean batch up to whole passes of whole processes, where the pass of one is known."""
    each = each_process(evidence)
    if each is None:
        return None
    accumulation = choose(evidence, "gradient_accumulation")
    size = each.number * (accumulation.number if accumulation else 1)
    multiple = math.ceil(batch / size * (1 - 0.005))
    return round(multiple * size) if batch >= _SHORT_LAST_BATCH * multiple * size else None


def world(evidence: Evidence, batch: Resolved | None) -> Resolved | None:
    """Processes that trained, by batch arithmetic: global batch / (a process's x accumulation)."""
    per_process = each_process(evidence)
    if batch is None or per_process is None:
        return None
    accumulation = choose(evidence, "gradient_accumulation")
    if accumulation is None and not evidence.named("visible_accelerators"):
        return None  # without a word on accumulation, a quotient of 8 may be 8 passes of one GPU
    each = per_process.number * (accumulation.number if accumulation else 1)
    if batch.number % each:
        return None
    facts = (*batch.facts, *per_process.facts, *(accumulation.facts if accumulation else ()))
    return computed(
        round(batch.number / each),
        "devices",
        facts,
        f"{batch.value:,} samples a step / {each:,.0f} a process, accumulation included",
    )


def global_batch(evidence: Evidence, count: Resolved | None) -> Resolved | None:
    """Samples a step from the batch of one process, where the number of processes is known."""
    per_process = each_process(evidence)
    world = choose(evidence, "world_size") or count
    if per_process is None or world is None:
        return None
    accumulation = choose(evidence, "gradient_accumulation")
    facts = (*per_process.facts, *world.facts, *(accumulation.facts if accumulation else ()))
    times = accumulation.number if accumulation else 1
    return computed(
        per_process.number * world.number * times,
        "samples",
        facts,
        f"{per_process.value:,} a process x {world.value:,} processes x {times:,} accumulated",
        world.bound,
    )
