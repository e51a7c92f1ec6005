"""Calls that are made with other parameters than the module's own (``torch.func.functional_call``)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.compiler import is_dynamo_compiling
from torch.nn.utils import stateless

from profilers.steps.backward.passes import STANDING_IN, stands_in
from profilers.steps.standing.handlers import is_the_programs
from profilers.steps.standing.layers import Undo, placed


class _Exchange:
    """torch's own exchange of parameters (``torch.func.functional_call``), told of at both ends."""

    def __init__(self, exchange: Any, tell: Callable[[], None], module: Any, given: Any) -> None:
        self.exchange = exchange
        self.tell = tell
        self.module, self.given = module, given
        self.before: frozenset[str] | None = None
        """What an exchange around this one had exchanged."""

    def __enter__(self) -> Any:
        names = self._names()
        entered = self.exchange.__enter__()
        self.before = STANDING_IN.get(id(self.module))
        if names:
            STANDING_IN[id(self.module)] = names | (self.before or frozenset())
        self.tell()
        return entered

    def __exit__(self, *error: Any) -> Any:
        self.tell()
        if self.before is None:
            STANDING_IN.pop(id(self.module), None)
        else:
            STANDING_IN[id(self.module)] = self.before
        return self.exchange.__exit__(*error)

    def _names(self) -> frozenset[str]:
        try:
            return self._leaves()
        except Exception as error:
            if is_the_programs(error):
                raise
            return frozenset()

    def _leaves(self) -> frozenset[str]:
        """Names of parameters in whose place leaves are given that a pass may be asked for."""
        if not torch.is_grad_enabled() or not isinstance(self.given, Mapping):
            return frozenset()
        names = []
        own = dict(self.module.named_parameters(remove_duplicate=False))
        for name, leaf in self.given.items():
            is_leaf = isinstance(leaf, torch.Tensor) and leaf.requires_grad and leaf.is_leaf
            if is_leaf and name in own and own[name] is not leaf:
                stands_in(leaf, (id(self.module), name))
                names.append(name)
        return frozenset(names)


def exchanging(tell: Callable[[], None]) -> Undo:
    """Tell where a call is made with other parameters than the module's own."""
    original = getattr(stateless, "_reparametrize_module", None)
    if original is None:
        return lambda: None

    @functools.wraps(original)
    def exchange(*args: Any, **kwargs: Any) -> Any:
        if is_dynamo_compiling():
            return original(*args, **kwargs)
        module = args[0] if args else kwargs.get("module")
        given = args[1] if len(args) > 1 else kwargs.get("parameters_and_buffers")
        return _Exchange(original(*args, **kwargs), tell, module, given)

    return placed(stateless, "_reparametrize_module", exchange)
