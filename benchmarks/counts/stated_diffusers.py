"""Stated inputs of models of diffusers."""

from __future__ import annotations

from benchmarks.counts.stated_inputs import Stated

INPUTS = dict[str, Stated]()
