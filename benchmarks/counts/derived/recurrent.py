"""Recurrent layers: gates times steps."""

from __future__ import annotations

from torch import nn

from benchmarks.counts.derived.case import Case, frozen, t

LSTM_F = 2 * 15 * (4 * 8 * 6 + 4 * 8 * 8)


CASES = [
    # 5 steps × 3 sequences, input 6, hidden 8; B: weights, then hidden for 4 of 5 steps
    Case(
        "LSTM",
        lambda: (nn.LSTM(6, 8), (t(5, 3, 6),)),
        LSTM_F,
        LSTM_F + 2 * 12 * 4 * 8 * 8,
    ),
    Case(
        "LSTM, input gradient",
        lambda: (nn.LSTM(6, 8), (t(5, 3, 6, grad=True),)),
        LSTM_F,
        LSTM_F + 2 * 12 * 4 * 8 * 8 + 2 * 15 * 4 * 8 * 6,
    ),
    # three gates
    Case("GRU, forward", lambda: (frozen(nn.GRU(6, 8)), (t(5, 3, 6),)), 2 * 15 * 3 * 8 * 14, 0),
    Case("RNN, forward", lambda: (frozen(nn.RNN(6, 8)), (t(5, 3, 6),)), 2 * 15 * 8 * 14, 0),
    Case("LSTM cell", lambda: (frozen(nn.LSTMCell(6, 8)), (t(3, 6),)), 2 * 3 * 4 * 8 * 14, 0),
]
