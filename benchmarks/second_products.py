"""What each of torch's functions that a model calls costs, for the second counter.

``PRODUCTS``: functions of which the operands and the result say everything. ``SPECIAL``: those that are
called by their handler, because more of their arguments matters.
"""

from __future__ import annotations

from math import log2, prod

import torch
import torch.nn.functional as f


def _get(args, kwargs, position, name, default=None):
    return args[position] if len(args) > position else kwargs.get(name, default)


def _linear(counter, args, kwargs, out):
    x, weight = _get(args, kwargs, 0, "input"), _get(args, kwargs, 1, "weight")
    if weight.dim() == 1:
        _vector(counter, (x, weight), {}, out)
    else:
        counter.note(2 * prod(x.shape) * weight.shape[0], (x, weight), out)


def _matmul(counter, args, kwargs, out):
    a, b = _get(args, kwargs, 0, "input"), _get(args, kwargs, 1, "other")
    b = kwargs.get("mat2", b) if b is None else b
    if b.dim() == 1 < a.dim():
        _vector(counter, (a, b), {}, out)
        return
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
    """Contract from left to right, as torch does unless an optimiser of the order is installed."""
    out = func(*args, **kwargs)
    equation, *operands = args
    if len(operands) == 1 and not torch.is_tensor(operands[0]):
        operands = list(operands[0])
    if len(operands) > 2 and torch.backends.opt_einsum.is_available():
        raise NotImplementedError("einsum of three operands in an order that is not known here")
    names, _, kept = equation.replace(" ", "").partition("->")
    factors = [Factor.of(*pair) for pair in zip(names.split(","), operands, strict=True)]
    kept = set(kept.replace("...", "")) | {e for f in factors for e in f.sizes if "." in e}
    while len(factors) > 1:
        left, right, *rest = factors
        wanted = kept | {letter for factor in rest for letter in factor.sizes}
        factors = [left.times(right, wanted, counter, out), *rest]
    return out


class Factor:
    """One factor of an einsum: the length of each of its axes, and whether it is differentiated."""

    def __init__(self, sizes, requires_grad):
        self.sizes, self.requires_grad = sizes, requires_grad

    @classmethod
    def of(cls, name, operand):
        """Give each axis of an operand its letter; those of an ellipsis are counted from behind."""
        head, dots, tail = name.partition("...")
        extra = operand.dim() - len(head) - len(tail)
        letters = [*head, *(f".{extra - i}" for i in range(extra if dots else 0)), *tail]
        return cls(dict(zip(letters, operand.shape, strict=True)), operand.requires_grad)

    def times(self, other, wanted, counter, out):
        """Note the product of two factors if it sums over an axis; answer what is left of them.

        An axis of one element sums nothing, and an axis of one factor alone is summed beforehand.
        """
        mine, theirs = self.sizes, other.sizes
        whole = {k: max(mine.get(k, 1), theirs.get(k, 1)) for k in {**mine, **theirs}}
        summed = {k for k in mine if min(mine[k], theirs.get(k, 1)) > 1 and k not in wanted}
        if summed:
            flop = 2 * prod(n for k, n in whole.items() if k in wanted or k in summed)
            counter.note(flop, (self, other), out)
        left = {k: n for k, n in whole.items() if k in wanted}
        return Factor(left, self.requires_grad or other.requires_grad)


def _cdist(counter, args, kwargs, out):
    """Euclidean distances: the products of the two sets' points."""
    x1, x2 = _get(args, kwargs, 0, "x1"), _get(args, kwargs, 1, "x2")
    counter.note(2 * prod(out.shape) * x1.shape[-1], (x1, x2), out)


def _vector(counter, args, kwargs, out):
    """Matrix times vector; the matrix's gradient is an outer product and sums nothing."""
    matrix = _get(args, kwargs, 0, "input")
    counter.note(2 * prod(matrix.shape), (_get(args, kwargs, 1, "vec"),), out)


def _fourier(own_axes, *, of_input=False):
    """The customary 5 N log2 N of a complex transform of N points, half of it for a real one."""

    def handler(counter, args, kwargs, out):
        x = args[0]
        whole = x if of_input else out
        axes = _get(args, kwargs, 2, "dim", own_axes)
        axes = range(out.dim()) if axes is None else (axes,) if isinstance(axes, int) else axes
        lengths = _get(args, kwargs, 1, "n", kwargs.get("s"))
        lengths = (lengths,) if isinstance(lengths, int) else lengths
        shape = list(whole.shape)
        if of_input and lengths is not None:  # padded, or cut
            for axis, length in zip(axes, lengths, strict=True):
                shape[axis] = length
        points = prod(shape[axis] for axis in axes)
        # Transforms over several axes are carried out on complex numbers from the start.
        several = own_axes != -1 and not of_input
        half = not out.is_complex() or not (x.is_complex() or several)
        flop = round(5 * prod(shape) * log2(points)) if points > 1 else 0
        counter.note(flop // 2 if half else flop, (x,), out)
        if of_input:
            _whole_gradient(counter, flop, x, out)

    return handler


def _whole_gradient(counter, flop, x, out):
    """Torch transforms the gradient of half a spectrum as a whole one of complex numbers."""
    if x.requires_grad:
        counter.products.append((flop - flop // 2, -1, out.grad_fn, out))


def _windows(counter, args, kwargs, out):
    """Transform of real windows: n_fft points, as many windows as the result has frames."""
    points = _get(args, kwargs, 1, "n_fft")
    frames = prod(out.shape[:-2]) * out.shape[-1]
    counter.note(round(5 * points * frames * log2(points)) // 2, (args[0],), out)


def _from_windows(counter, args, kwargs, out):
    points, frames = _get(args, kwargs, 1, "n_fft"), args[0].shape[-1]
    number = points * frames * prod(args[0].shape[:-2])
    counter.note(round(5 * number * log2(points)) // 2, (args[0],), out)


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


def _cell(counter, func, args, kwargs):
    """One step of a recurrent layer, a function of its own: both matrices, both operands."""
    out = func(*args, **kwargs)
    result = out if torch.is_tensor(out) else out[0]
    x, state, into, hidden = args[:4]
    state = state if torch.is_tensor(state) else state[0]
    for rows, matrix in ((x, into), (state, hidden)):
        counter.note(2 * prod(rows.shape[:-1]) * matrix.numel(), (rows, matrix), result)
    return out


def _solve_triangular(counter, args, kwargs, out):
    """n FLOP an element; as much for the right side's gradient, a product for the matrix's."""
    matrix, right = _get(args, kwargs, 0, "A"), _get(args, kwargs, 1, "B")
    flop = matrix.shape[-1] * prod(out.shape)
    counter.note(flop, (right,), out)
    if matrix.requires_grad:
        counter.products.append((2 * flop, -1, out.grad_fn, out))
        counter.products.append((0 if right.requires_grad else flop, -1, out.grad_fn, out))


def _orthogonal(counter, func, args, kwargs):
    """Householder reflections, then the thin factor formed of them, 2 m n n - 2/3 n n n each.

    Golub and Van Loan. The gradient of a tall matrix through that factor alone: two products of
    m n n multiply-adds and one triangular solve.
    """
    out = func(*args, **kwargs)
    rows, columns = args[0].shape[-2:]
    if rows < columns or len(args) > 1 or kwargs:
        raise NotImplementedError("a wide or complete orthogonal factor")
    number = prod(args[0].shape[:-2])
    each = (6 * rows * columns**2 - 2 * columns**3) // 3
    counter.note(2 * number * each, (), out[0])
    if args[0].requires_grad:
        work = 5 * number * rows * columns**2
        counter.products.append((work, -1, out[0].grad_fn, out[0]))
    return out


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
        2 * prod(query.shape[:-1]) * given["out_proj_weight"].numel(),
        (operand, given["out_proj_weight"]),
        result,
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
    torch.cdist: _cdist,
    torch.mv: _vector,
    T.mv: _vector,
    torch.stft: _windows,
    T.stft: _windows,
    torch.istft: _from_windows,
    T.istft: _from_windows,
    torch.linalg.solve_triangular: _solve_triangular,
}
for _suffix, _axes in (("fft", -1), ("fft2", (-2, -1)), ("fftn", None)):
    for _kind in ("", "i", "r", "ir"):
        _handler = _fourier(_axes, of_input=_kind == "r")
        PRODUCTS[getattr(torch.fft, _kind + _suffix)] = _handler
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
    torch.linalg.qr: _orthogonal,
    torch._VF.lstm: _recurrent,
    torch._VF.gru: _recurrent,
    torch._VF.rnn_tanh: _recurrent,
    torch._VF.rnn_relu: _recurrent,
    torch._VF.lstm_cell: _cell,
    torch._VF.gru_cell: _cell,
    torch._VF.rnn_tanh_cell: _cell,
    torch._VF.rnn_relu_cell: _cell,
}
