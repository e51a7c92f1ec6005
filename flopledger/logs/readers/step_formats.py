"""How the step lines of programs look that print them in one line with labels.

The groups of a pattern: ``step`` (with ``epoch`` and ``each``, steps an epoch, where it starts again
in each epoch), ``passes`` (forward passes, where an optimizer step takes several), ``total``, ``loss``,
``ms`` or ``s`` (of one step), ``clock`` (seconds since the start), ``pace`` (steps a second), ``rate``
(samples a second of all devices), ``tokens`` (done so far) and ``token_rate`` (a second, of whom the
program does not say).
"""

import re
from dataclasses import dataclass

from flopledger.logs.readers.printed_settings import PrintedSettings
from flopledger.logs.readers.verl_settings import VerlSettings

_N = r"[\d,]{1,15}"
_F = r"[-+\d.eE]{1,24}|nan|inf"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFormat:
    """One program's step line."""

    format: str  #: id of the reader
    mark: str  #: stands in every such line; a line without it is not searched
    line: re.Pattern[str]
    zero_based: bool = False  #: its first step is called 0
    epochs_from: int = 0  #: what its first epoch is called
    #: The printed time is of the one step printed, and not the mean since the last print.
    samples_one_step: bool = False
    #: The group ``mean`` is the mean since the epoch began.
    mean_of_epoch: bool = False
    #: What reads the settings that it prints.
    settings: type[PrintedSettings | VerlSettings] = PrintedSettings


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace("<N>", _N).replace("<F>", _F))


STEP_FORMATS: tuple[StepFormat, ...] = (
    # Epoch 34 | iter 3050700 step 610140 | loss train: 2.846, val: 2.861 | iter time: 112.20 ms
    # iter 1 step 1: loss 10.9746, iter time: 605.32ms (optimizer.step)
    StepFormat(
        format="litgpt-log",
        mark="iter time:",
        line=_pattern(
            r"\biter (?P<passes>\d{1,12})(?: \|)? st[Ee]p (?P<step>\d{1,12})(?: \||:) loss"
            r"[^\d]{0,20}(?P<loss><F>).{0,80}?iter time: (?P<ms>[\d.]{1,15}) ?ms(?P<stepped>.{0,14}step\))?"
        ),
        samples_one_step=True,
    ),
    # Train: 0 [  50/1251 (  4%)]  Loss: 6.9 (6.95)  Time: 0.4s, 2560.1/s (0.5s, 2048.0/s)
    StepFormat(
        format="timm-log",
        mark="Train: ",
        line=_pattern(
            r"\bTrain: (?P<epoch>\d{1,6}) \[\s{0,6}(?P<step>\d{1,9})/(?P<each>\d{1,9}) .{0,40}?"
            r"Loss:\s{1,4}(?P<loss><F>) .{0,60}?Time: (?P<s>[\d.]{1,12})s,\s{1,9}(?P<rate>[\d.]{1,12})/s"
            r"\s{1,4}\((?P<mean>[\d.]{1,12})s,"
        ),
        zero_based=True,
        mean_of_epoch=True,
    ),
    # Epoch: [0]  [ 10/1251]  eta: 0:10:00  lr: 0.001  loss: 6.9 (6.9)  time: 0.48  data: 0.01
    StepFormat(
        format="metric-logger-log",
        mark="Epoch: [",
        line=_pattern(
            r"\bEpoch: \[(?P<epoch>\d{1,6})\]\s{1,4}\[\s{0,9}(?P<step>\d{1,9})/(?P<each>\d{1,9})\]"
            r"\s{1,4}eta: .{0,300}?\bloss: (?P<loss><F>).{0,300}?\btime: (?P<s>[\d.]{1,12})"
        ),
        zero_based=True,
    ),
    # Epoch: [0][  11/5005]	Time  0.431 ( 0.500)	Data  0.001 ( 0.010)	Loss 6.9e+00 (7.0e+00)
    StepFormat(
        format="imagenet-example-log",
        mark="Epoch: [",
        line=_pattern(
            r"\bEpoch: \[(?P<epoch>\d{1,6})\]\[\s{0,9}(?P<step>\d{1,9})/(?P<each>\d{1,9})\]\s{1,4}"
            r"Time\s{1,4}(?P<s>[\d.]{1,12}) \(\s{0,6}(?P<mean>[\d.]{1,12})\).{0,120}?"
            r"\bLoss (?P<loss><F>)"
        ),
        mean_of_epoch=True,
    ),
    # step:12 - actor/pg_loss:0.01 - ... - timing_s/step:61.2 - perf/throughput:836.6
    StepFormat(
        format="verl-log",
        mark="timing_s/step:",
        # Its lines hold hundreds of figures, and stand behind what launchers set before them.
        line=_pattern(
            r"^.{0,120}?\bstep:(?P<step>\d{1,9}) - .{0,15900}?"
            r"\btiming_s/step:(?:np\.float\d{2}\()?(?P<s>[\d.]{1,24})"
        ),
        settings=VerlSettings,
    ),
    # Iter(train) [1510/2046]  lr: 3.4e-05  eta: 0:29:39  time: 24.9128 ... loss: 0.7818
    StepFormat(
        format="mmengine-log",
        mark="Iter",
        line=_pattern(
            r"\bIter(?:\(train\))? \[\s{0,9}(?P<step>\d{1,9})/(?P<total>\d{1,9})\].{0,160}?"
            r"\btime: (?P<s>[\d.]{1,12}).{0,300}?\bloss: (?P<loss><F>)"
        ),
    ),
    # Epoch(train)  [3][ 50/7330]  lr: 2e-02  eta: 1 day, 1:00:00  time: 0.4884 ... loss: 1.2
    StepFormat(
        format="mmengine-log",
        mark="Epoch",
        line=_pattern(
            r"\bEpoch(?:\(train\))?\s{1,4}\[(?P<epoch>\d{1,6})\]\s{0,3}\[\s{0,9}(?P<step>\d{1,9})/"
            r"(?P<each>\d{1,9})\].{0,160}?\btime: (?P<s>[\d.]{1,12}).{0,300}?\bloss: (?P<loss><F>)"
        ),
        epochs_from=1,
    ),
    # eta: 0:30:00  iter: 19  total_loss: 1.2 ... time: 0.3  data_time: 0.01  lr: 0.02
    StepFormat(
        format="detectron2-log",
        mark="total_loss: ",
        line=_pattern(
            r"\beta: .{0,40}?\biter: (?P<step>\d{1,9})\s{1,4}total_loss: (?P<loss><F>).{0,400}?"
            r"\btime: (?P<s>[\d.]{1,12})"
        ),
        zero_based=True,
    ),
    # epoch: 1/100, iter: 240/983, mem: 7746Mb, iter_time: 8.711s, data_time: 8.409s, total_loss: 5.8
    StepFormat(
        format="yolox-log",
        mark="iter_time: ",
        line=_pattern(
            r"\bepoch: (?P<epoch>\d{1,6})/\d{1,6}, iter: (?P<step>\d{1,9})/(?P<each>\d{1,9}), .{0,40}?"
            r"iter_time: (?P<s>[\d.]{1,12})s, .{0,60}?total_loss: (?P<loss><F>)"
        ),
        epochs_from=1,
    ),
    # Iter 36: Train loss 4.040, Learning Rate 2e-08, It/sec 1.472, Tokens/sec 67.7, Trained Tokens 1656
    StepFormat(
        format="mlx-log",
        mark="Trained Tokens",
        line=_pattern(
            r"\bIter (?P<step>\d{1,9}): Train loss (?P<loss><F>), .{0,60}?It/sec (?P<pace>[\d.]{1,12}), "
            r"Tokens/sec (?P<token_rate>[\d.]{1,15}), Trained Tokens (?P<tokens>[\d.]{1,18})"
        ),
    ),
    # loss: 10.9, learning_rate: 3e-05, global_step: 10, interval_runtime: 15.4, ...
    StepFormat(
        format="paddlenlp-log",
        mark="interval_samples_per_second: ",
        line=_pattern(
            r"\bloss: (?P<loss><F>), .{0,80}?\bglobal_step: (?P<step>\d{1,9}), .{0,400}?"
            r"\binterval_samples_per_second: (?P<rate>[\d.]{1,18}), .{0,200}?"
            r"interval_steps_per_second: (?P<pace>[\d.]{1,18})"
        ),
    ),
)
