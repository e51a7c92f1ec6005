"""Tests here trace models; without torch there is nothing to test."""

import pytest

pytest.importorskip("torch")
