"""What a forward may set for the whole program, kept over one that is run once more for a count."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch


def _set_device(context: Any) -> None:
    torch.set_default_device(None if context is None else context.device)


def _put_environment(before: dict[str, str]) -> None:
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update({k: v for k, v in before.items() if os.environ.get(k) != v})


SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (lambda: torch._GLOBAL_DEVICE_CONTEXT.__dict__.get("device_context"), _set_device),
    (torch.is_grad_enabled, torch._C._set_grad_enabled),
    (torch.is_warn_always_enabled, torch.set_warn_always),
    (torch.is_anomaly_enabled, torch._C.set_anomaly_enabled),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (torch._C._get_cublas_allow_tf32, torch._C._set_cublas_allow_tf32),
    (torch._C._get_cudnn_allow_tf32, torch._C._set_cudnn_allow_tf32),
    (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
    (torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark),
    (torch._C._get_cudnn_deterministic, torch._C._set_cudnn_deterministic),
    (torch._C._get_flash_sdp_enabled, torch._C._set_sdp_use_flash),
    (torch._C._get_mem_efficient_sdp_enabled, torch._C._set_sdp_use_mem_efficient),
    (torch._C._get_math_sdp_enabled, torch._C._set_sdp_use_math),
    (torch.get_num_threads, torch.set_num_threads),
    (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (sys.getswitchinterval, sys.setswitchinterval),
    (lambda: logging.root.manager.disable, logging.disable),
    (os.getcwd, os.chdir),
    (lambda: dict(os.environ), _put_environment),
)
"""What a forward may set for the whole program: how it is read, and how it is set."""


@contextmanager
def kept_settings() -> Iterator[None]:
    """A setting is written only where it changed."""
    before: list[tuple[Callable[[], Any], Callable[[Any], Any], Any]] = []
    for get, put in SETTINGS:
        with suppress(Exception):  # a folder may be gone
            before.append((get, put, get()))
    try:
        yield
    finally:
        for get, put, value in before:
            with suppress(Exception):
                if get() != value:
                    put(value)
