"""A second counter that shares no code and no method with flopcount.

It sits one storey higher: it sees the calls that a model makes to torch (``linear``, ``matmul``,
``conv2d``, attention ...), not the ops that they become, and it never runs a backward. The backward
follows from mathematics: each product has one more product for every operand that needs a gradient,
if the loss depends on its result. So a mistake in the ops, in autograd's path or in the phase of an
op shows as a difference.
"""

from __future__ import annotations

from math import log2, prod

import torch
import torch.nn.functional as f
from torch.overrides import TorchFunctionMode


class SecondCounter(TorchFunctionMode):
    """Notes each product with its operands and its result."""

    def __init__(self):
        super().__init__()
        self.products = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        special = SPECIAL.get(func)
        if special is not None:
            return special(self, func, args, kwargs)
        out = func(*args, **kwargs)
        handler = PRODUCTS.get(func)
        if handler is not None:
            handler(self, args, kwargs, out)
        return out

    def note(self, flop, operands, out):
        """Remember one product; it has a gradient for every operand that needs one."""
        wants = [t.requires_grad for t in operands]
        self.products.append((flop, sum(wants), out.grad_fn if out.requires_grad else None, out))

    def totals(self, targets):
        """Forward and backward FLOP, given what is differentiated."""
        reached = _reachable([t.grad_fn for t in targets if t.grad_fn is not None])
        forward = sum(flop for flop, gradients, *_ in self.products if gradients >= 0)
        backward = sum(
            flop * abs(gradients)
            for flop, gradients, node, out in self.products
            if node is not None and not reached.isdisjoint(_nodes(node, out))
        )
        return forward, backward


def _nodes(node, out):
    """The nodes of a result: an operation in place, on it or on a view of it, gives it another."""
    base = out._base
    return {node, out.grad_fn} | (set() if base is None else {base.grad_fn})


def _reachable(nodes):
    seen, stack = set(), list(nodes)
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack += [edge[0] for edge in node.next_functions]
    return seen


def _get(args, kwargs, position, name, default=None):
    return args[position] if len(args) > position else kwargs.get(name, default)


def _linear(counter, args, kwargs, out):
    x, weight = _get(args, kwargs, 0, "input"), _get(args, kwargs, 1, "weight")
    counter.note(2 * prod(x.shape) * weight.shape[0], (x, weight), out)


def _matmul(counter, args, kwargs, out):
    a, b = _get(args, kwargs, 0, "input"), _get(args, kwargs, 1, "other")
    b = kwargs.get("mat2", b) if b is None else b
    counter.note(2 * prod(out.shape) * a.shape[-1], (a, b), out)


def _rmatmul(counter, args, kwargs, out):
    _matmul(counter, (args[1], args[0]), kwargs, out)


def _addmm(counter, args, kwargs, out):
    a, b = (kwargs.get(n) for n in ("mat1", "mat2")) if len(args) < 3 else args[1:3]
    counter.note(2 * prod(out.shape) * a.shape[-1], (a, b), out)


def _baddbmm(counter, args, kwargs, out):
    a = _get(args, kwargs, 1, "batch1")
    b = _get(args, kwargs, 2, "batch2")
    counter.note(2 * prod(out.shape) * a.shape[-1], (a, b), out)


def _convolution(counter, args, kwargs, out):
    x, weight = _get(args, kwargs, 0, "input"), _get(args, kwargs, 1, "weight")
    counter.note(2 * prod(out.shape) * prod(weight.shape[1:]), (x, weight), out)


def _transposed(counter, args, kwargs, out):
    x, weight = _get(args, kwargs, 0, "input"), _get(args, kwargs, 1, "weight")
    counter.note(2 * prod(x.shape) * prod(weight.shape[1:]), (x, weight), out)


def _grouped(counter, args, kwargs, out):
    a, b = _get(args, kwargs, 0, "input"), _get(args, kwargs, 1, "mat2")
    counter.note(2 * prod(a.shape) * b.shape[-1], (a, b), out)


def _attention(counter, func, args, kwargs):
    out = func(*args, **kwargs)
    q, k, v = (_get(args, kwargs, i, n) for i, n in enumerate(("query", "key", "value")))
    pairs = prod(q.shape[:-1]) * k.shape[-2]
    # scores: gradients of q and k; values: gradients of the probabilities and of v
    counter.note(2 * pairs * q.shape[-1], (q, k), out)
    soft = out if (q.requires_grad or k.requires_grad) else v.detach()
    counter.note(2 * pairs * v.shape[-1], (soft, v), out)
    return out


def _einsum(counter, func, args, kwargs):
    out = func(*args, **kwargs)
    equation, *operands = args
    operands = (
        list(operands[0]) if len(operands) == 1 and not torch.is_tensor(operands[0]) else (operands)
    )
    if len(operands) == 2:
        _einsum_pair(counter, equation.replace(" ", ""), operands, out)
    elif len(operands) > 2:
        raise NotImplementedError("einsum of three operands")
    return out


def _einsum_pair(counter, equation, operands, out):
    left, _, right = equation.partition("->")
    names = left.split(",")
    sizes, where = {}, {}
    for name, operand in zip(names, operands, strict=True):
        plain = name.replace("...", "")
        head, _, tail = name.partition("...")
        extra = operand.dim() - len(plain)
        letters = [*head, *(f".{extra - i}" for i in range(extra)), *tail]
        for letter, size in zip(letters, operand.shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
            where.setdefault(letter, set()).add(name)
    both = {letter for letter, owners in where.items() if len(owners) == 2 or names[0] == names[1]}
    kept = set(right) | {letter for letter in sizes if letter.startswith(".")}
    contracted = both - kept
    if not contracted:
        return
    alone = {letter for letter in sizes if letter not in kept and letter not in both}
    counter.note(
        2 * prod(size for letter, size in sizes.items() if letter not in alone), operands, out
    )


def _fourier(counter, args, kwargs, out):
    """The customary 5 N log2 N of a complex transform of N points."""
    axes = _get(args, kwargs, 2, "dim", None)
    axes = range(out.dim()) if axes is None else (axes,) if isinstance(axes, int) else axes
    points = prod(out.shape[axis] for axis in axes)
    counter.note(round(5 * prod(out.shape) * log2(points)), (args[0],), out)


def _recurrent(counter, func, args, kwargs):
    """A recurrent layer: rows through both matrices; the first step's state needs no gradient."""
    out = func(*args, **kwargs)
    packed = torch.is_tensor(args[1]) and args[1].dim() == 1
    x, weights = args[0], args[3] if packed else args[2]
    rows = prod(x.shape[:-1])
    first = int(args[1][0]) if packed else x.shape[0 if args[-1] else 1]
    directions = 2 if args[-1 if packed else -2] else 1
    matrices = [w for w in weights if w.dim() == 2]
    for index in range(0, len(matrices), 2):
        into, hidden = matrices[index : index + 2]
        source = x if index < 2 * directions else out[0]
        counter.note(2 * rows * into.numel(), (source, into), out[0])
        counter.note(2 * rows * hidden.numel(), (hidden,), out[0])
        # -1 marks work that exists in the backward only
        later = 2 * (rows - first) * hidden.numel()
        counter.products.append((later, -1, out[0].grad_fn, out[0]))
    return out


def _solve_triangular(counter, args, kwargs, out):
    """n FLOP an element; as much for the right side's gradient, a product for the matrix's."""
    matrix, right = _get(args, kwargs, 0, "A"), _get(args, kwargs, 1, "B")
    flop = matrix.shape[-1] * prod(out.shape)
    counter.note(flop, (right,), out)
    if matrix.requires_grad:
        counter.products.append((2 * flop, -1, out.grad_fn, out))
        counter.products.append((0 if right.requires_grad else flop, -1, out.grad_fn, out))


def _multi_head(counter, func, args, kwargs):
    """Three projections, attention, one projection, all inside one function of torch."""
    out = func(*args, **kwargs)
    names = [
        "query",
        "key",
        "value",
        "embed_dim_to_check",
        "num_heads",
        "in_proj_weight",
        "in_proj_bias",
    ]
    names += ["bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight"]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    result, width = out[0], given["embed_dim_to_check"]
    query, key = given["query"], given["key"]
    whole = given["in_proj_weight"]
    parts = [whole, whole, whole]
    if given.get("use_separate_proj_weight"):
        parts = [given[f"{name}_proj_weight"] for name in "qkv"]
    for name, weight in zip(("query", "key", "value"), parts, strict=True):
        counter.note(2 * prod(given[name].shape) * width, (given[name], weight), result)
    trained = any(t.requires_grad for t in (*parts, query, key))
    operand = parts[0] if trained else query
    pairs = prod(query.shape[:-1]) * key.shape[0]
    counter.note(2 * pairs * width, (operand, operand), result)
    counter.note(2 * pairs * width, (operand, operand), result)
    counter.note(
        2 * prod(query.shape[:-1]) * width * width, (operand, given["out_proj_weight"]), result
    )
    return out


T = torch.Tensor
PRODUCTS = {
    f.linear: _linear,
    torch.matmul: _matmul,
    T.matmul: _matmul,
    T.__matmul__: _matmul,
    T.__rmatmul__: _rmatmul,
    torch.mm: _matmul,
    T.mm: _matmul,
    torch.bmm: _matmul,
    T.bmm: _matmul,
    torch.addmm: _addmm,
    T.addmm: _addmm,
    torch.baddbmm: _baddbmm,
    T.baddbmm: _baddbmm,
    f.conv1d: _convolution,
    f.conv2d: _convolution,
    f.conv3d: _convolution,
    f.conv_transpose1d: _transposed,
    f.conv_transpose2d: _transposed,
    f.conv_transpose3d: _transposed,
    torch.fft.fftn: _fourier,
    torch.linalg.solve_triangular: _solve_triangular,
}
for _name in ("_grouped_mm",):
    if hasattr(torch, _name):
        PRODUCTS[getattr(torch, _name)] = _grouped
if hasattr(f, "grouped_mm"):
    PRODUCTS[f.grouped_mm] = _grouped
SPECIAL = {
    f.scaled_dot_product_attention: _attention,
    torch.functional.einsum: _einsum,
    torch.einsum: _einsum,
    f.multi_head_attention_forward: _multi_head,
    torch._VF.lstm: _recurrent,
    torch._VF.gru: _recurrent,
    torch._VF.rnn_tanh: _recurrent,
    torch._VF.rnn_relu: _recurrent,
}


def second_count(model, args, kwargs, loss=None):
    """Forward and backward FLOP of a step on meta tensors, by the second counter."""
    counter = SecondCounter()
    with counter, torch.enable_grad():
        out = model(*args, **kwargs)
    own = loss(out) if loss is not None else getattr(out, "loss", None)
    if torch.is_tensor(own):
        return counter.totals([own])
    leaves = torch.utils._pytree.tree_leaves(out)
    return counter.totals([t for t in leaves if torch.is_tensor(t) and t.is_floating_point()])
