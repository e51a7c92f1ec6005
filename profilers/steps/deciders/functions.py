"""What a program's own ``autograd.Function``, or its hook, may compute, read from its code.

One that reverses a gradient or rounds straight through costs no product; one that fuses a head with
its loss does. Which it is cannot be seen in a graph. So the names in its code are read: where all of
them are known to compute no product, it is harmless. No torch is imported here.
"""

from __future__ import annotations

import dis
import sys
from functools import lru_cache
from itertools import pairwise, takewhile
from types import CodeType, FunctionType
from typing import Any

TORCH = ("torch.distributed", "torch.nn.parallel", "torch.nn.utils", "torch.cuda")
"""Functions of these modules of torch move tensors and compute no product."""
CHECKPOINT = "torch.utils.checkpoint"
KNOWN = frozenset(
    """abs all_gather all_gather_into_tensor all_reduce all_to_all all_to_all_single append arange argmax AVG
    batch_isend_irecv bfloat16 bool broadcast cat ceil chunk clamp clamp_ clamp_max clamp_min clone contiguous
    cos cuda detach device dim dist distributed div div_ dtype empty empty_like enable_grad exp expand
    expand_as F fill_ flatten float floor functional gather ge get_rank get_world_size group gt half int irecv
    isend le len list log long lt mark_dirty mark_non_differentiable masked_fill MAX max mean MIN min mul mul_
    narrow ndim needs_input_grad neg new_empty new_zeros nn no_grad numel ones ones_like P2POp permute pow
    range reduce_scatter reduce_scatter_tensor ReduceOp relu repeat reshape round save_for_backward
    saved_tensors scatter set_materialize_grads shape sigmoid sign sin size softmax split sqrt square squeeze
    stack sub SUM sum super tanh torch to transpose tuple type_as unsqueeze view view_as wait where zeros
    zeros_like zip""".split()  # noqa: SIM905
)
"""Names that compute no product."""
ELEMENTWISE = frozenset(
    """abs add bfloat16 clamp clone contiguous cos div exp F float float16 float32 functional half mul neg nn
    relu sigmoid sin sqrt square sub tanh to torch""".split()  # noqa: SIM905
)
"""Names that leave a tensor its shape and its gradient."""
TAKING_APART = ("BINARY_SLICE", "BINARY_SUBSCR", "UNPACK")
"""Instructions by which a part of something is taken, also with later words behind them."""
PRODUCTS = ("@", "@=")
OF_AN_OBJECT = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")
"""Loads of something that an object has. ``super().name`` is one instruction since Python 3.12."""
GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")
"""Loads of a module's name."""
WORK = frozenset(
    """addbmm addmm addmv baddbmm bilinear bmm cdist chain_matmul conv1d conv2d conv3d corrcoef cov dot einsum
    inner linear matmul matrix_exp matrix_power mm multi_dot mv scaled_dot_product_attention
    tensordot""".split()  # noqa: SIM905
)
"""Names of products."""


NULL_LAST = sys.version_info >= (3, 13)
"""Whether what is called stands before the ``PUSH_NULL`` of its call, and no more behind it."""
NO_NAMES = ("PUSH_NULL", "CALL_FUNCTION_EX")
CALLED = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_ATTR", "MAKE_FUNCTION")
"""Loads of what may be called, whose names are looked at."""
NAMING = (*OF_AN_OBJECT, *GLOBAL, "LOAD_CLOSURE", "LOAD_DEREF")
LEAST_GIVEN = 3
"""Module, inputs and output: what a forward hook is given, and one before a forward is not."""
BOUND = "NULL|self"
"""In an instruction's words since Python 3.12: an attribute that is called."""
NOTING = frozenset(
    {"__setitem__", "add", "append", "appendleft", "extend", "info", "put", "update", "write"}
)
"""Methods that keep something and return nothing that matters."""
FRAME = frozenset({"RESUME", "COPY_FREE_VARS", "MAKE_CELL", "PUSH_NULL"})
"""Instructions that say nothing."""


def is_own(node: type) -> bool:
    """Whether nodes of a class run a function of the program's (``autograd.Function``), and not torch's."""
    function = getattr(node, "_forward_cls", None)
    return function is not None and not function.__module__.startswith("torch.")


def is_harmless(function: type, node: Any) -> bool:
    """Whether a node of a class of ``autograd.Function`` stands for no product that nobody saw."""
    home = getattr(function, "__module__", "")
    if home == CHECKPOINT:
        run = getattr(node, "run_function", None)
        return hasattr(getattr(getattr(run, "func", run), "__self__", run), "_modules")
    return home.startswith(TORCH) or (not home.startswith("torch.") and _is_plain(function))


@lru_cache(maxsize=1024)
def _is_plain(function: type) -> bool:
    items = [
        getattr(item, "__func__", item)
        for kind in function.__mro__
        if kind.__module__.partition(".")[0] != "torch"
        for item in vars(kind).values()
    ]
    codes = [item.__code__ for item in items if isinstance(item, FunctionType)]
    return bool(codes) and _computes_nothing(*codes)


def is_product(step: dis.Instruction) -> bool:
    """Whether an instruction is a matrix product (``@``)."""
    return "MATRIX_MULTIPLY" in step.opname or (
        step.opname == "BINARY_OP" and step.argrepr in PRODUCTS
    )


def may_compute(hook: Any) -> bool:
    """Whether a hook of the program's may compute products: what it returns takes part in the model.

    One that returns nothing and names no product only looks on, as those do that keep activations.
    """
    function = getattr(hook, "func", hook)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if not isinstance(code, CodeType):
        return True
    return not _computes_nothing(code) and not (_only_looks(code) and _returns_nothing(code))


def may_replace(hook: Any) -> bool:
    """Whether a forward hook may hand on something else than the output that it was given.

    Another input or output, a part of it, or one without its graph: how much of the model comes to be
    computed with it, and differentiated, cannot be known. Code that is not understood may do so.
    """
    function = getattr(hook, "func", hook)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if not isinstance(code, CodeType):
        return True
    if _returns_nothing(code):
        return False
    given = code.co_varnames[: code.co_argcount]
    for step in dis.get_instructions(code):
        name = step.argval
        if is_product(step) or step.opname.startswith(TAKING_APART) or step.argrepr == "[]":
            return True
        if step.opname.startswith(("LOAD_FAST", "STORE_FAST")):
            used = (name,) if isinstance(name, str) else name
            if any(each in given[:-1] or each not in code.co_varnames for each in used):
                return True
        elif step.opname.startswith(NAMING) and name not in ELEMENTWISE:
            return True
    return len(given) < LEAST_GIVEN


@lru_cache(maxsize=256)
def names_products(kind: type) -> bool:
    """Whether the methods of a class that is none of torch's name products."""
    items = [
        getattr(item, "__func__", item)
        for each in kind.__mro__
        if each.__module__.partition(".")[0] != "torch"
        for item in vars(each).values()
    ]
    return not all(_only_looks(each.__code__) for each in items if isinstance(each, FunctionType))


def _only_looks(code: CodeType) -> bool:
    return WORK.isdisjoint(code.co_names) and not any(
        is_product(step) or (isinstance(step.argval, CodeType) and not _only_looks(step.argval))
        for step in dis.get_instructions(code)
    )


def _returns_nothing(code: CodeType) -> bool:
    steps = [step for step in dis.get_instructions(code) if step.opname not in FRAME]
    if all(step.argval is None for step in steps if step.opname == "RETURN_CONST") and all(
        one.opname == "LOAD_CONST" and one.argval is None
        for one, other in pairwise(steps)
        if other.opname == "RETURN_VALUE"
    ):
        return True
    # ``lambda *_: seen.append(...)``
    attributes = takewhile(lambda step: step.opname in OF_AN_OBJECT, steps[1:])
    names = [step.argval for step in attributes]
    ends = [step.opname for step in steps[-2:]]
    return (
        bool(names)
        and names[-1] in NOTING
        and ends[0] in ("CALL", "CALL_KW")
        and ends[1] == "RETURN_VALUE"
    )


def _computes_nothing(*codes: CodeType) -> bool:
    names: set[str] = set()
    kept: set[str] = set()
    waiting = list(codes)
    while waiting:
        steps = list(dis.get_instructions(waiting.pop()))
        # Since Python 3.14 ``f(*items)`` has a second one, where its names would stand.
        pairs = pairwise(steps)
        calls = [one for one, other in pairs if (one.opname, other.opname) != NO_NAMES]
        for one, other in pairwise(calls):
            null, callee = (other, one) if NULL_LAST else (one, other)
            if null.opname != "PUSH_NULL":
                continue
            if NULL_LAST and callee.opname in ("LOAD_ATTR", "LOAD_SUPER_ATTR"):
                names.add(f"{callee.argval}()")
            elif not callee.opname.startswith(CALLED):
                return False  # calls what it was given
        for step in steps:
            if step.opname.startswith("IMPORT") or is_product(step):
                return False
            if isinstance(step.argval, CodeType):
                waiting.append(step.argval)
            elif step.opname == "STORE_ATTR":
                kept.add(step.argval)
            elif step.opname == "LOAD_METHOD" or BOUND in step.argrepr:
                names.add(f"{step.argval}()")
            elif step.opname in (*OF_AN_OBJECT, *GLOBAL, "LOAD_DEREF"):
                names.add(step.argval)
    return names <= KNOWN | kept | {f"{name}()" for name in KNOWN}
