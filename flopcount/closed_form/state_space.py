"""State-space models (Mamba, Mamba-2), their hybrids with attention, and RWKV.

The scans are counted as the library's reference code multiplies them: only what runs as a matrix
product is a FLOP here, and a recurrence of single elements (RWKV's) is none.
"""

from flopcount.closed_form.blocks import feed_forward, mixture, norms, self_attention
from flopcount.closed_form.decoder import output_head, token_table
from flopcount.closed_form.dimensions import Dimensions
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.scans import rwkv7
from flopcount.closed_form.sheet import ClosedForm, Sheet


def state_space(d: Dimensions, inputs: Inputs) -> ClosedForm:
    """Count a language model of mixers, some of which may be attention layers."""
    batch, sequence = inputs.batch, inputs.need("sequence", d.kind)
    positions, hidden = batch * sequence, d.need("hidden")
    form = d.details.get("form", "mamba")
    sheet = Sheet()
    token_table(sheet, d, positions=positions)
    if form == "rwkv":
        _rwkv(sheet, d, positions=positions)
    elif form == "rwkv7":
        rwkv7(sheet, d, batch=batch, sequence=sequence)
    else:
        _mixers(sheet, d, batch=batch, sequence=sequence)
    if d.final_norm:
        sheet.vector(d.norm_width * hidden)
    output_head(sheet, d, positions=positions)
    return sheet.close(tokens=positions, assumptions=d.assumptions)


def _mixers(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int) -> None:
    layers, positions = d.need("layers"), batch * sequence
    attention = int(d.details.get("attention_layers", 0))
    dense = int(d.details.get("ffn_layers", layers if d.ffn is not None else 0)) - d.moe_layers
    mixers = int(d.details.get("mixer_layers", layers - attention))
    form = d.details.get("form")
    if form == "mamba2":
        mamba2(sheet, d, batch=batch, sequence=sequence, layers=mixers)
    elif form == "plamo2":
        plamo2(sheet, d, batch=batch, sequence=sequence, layers=mixers)
    else:
        mamba(sheet, d, batch=batch, sequence=sequence, layers=mixers)
    if attention:
        self_attention(sheet, d, batch=batch, sequence=sequence, layers=attention, mask="causal")
    if d.ffn is not None:
        feed_forward(sheet, d, positions=positions, layers=dense)
        mixture(sheet, d, positions=positions, layers=d.moe_layers)
    norms(sheet, d, layers=layers)


def mamba(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int, layers: int) -> None:
    """Mamba: one state matrix a channel; the state is read by a product at every position.

    The causal convolution pads kernel - 1 positions before, and the library computes as many after
    the end before it cuts them off.
    """
    hidden, states, positions = d.need("hidden"), d.need("state_size"), batch * sequence
    inner, kernel, rank = inner_width(d), int(d.details.get("kernel", 4)), step_rank(d)
    bias = bool(d.details.get("bias", False))
    for name, inputs, outputs, has_bias in (
        ("mixer.in", hidden, 2 * inner, bias),
        ("mixer.step_and_states", inner, rank + 2 * states, False),
        ("mixer.step", rank, inner, True),
        ("mixer.out", inner, hidden, bias),
    ):
        sheet.linear(name, inputs, outputs, positions, times=layers, bias=has_bias)
    _convolution(sheet, d, width=inner, kernel=kernel, batch=batch, sequence=sequence, times=layers)
    sheet.product("mixer.read_state", 2 * positions * inner * states * layers)
    sheet.vector(inner * states + inner, times=layers)  # A and D
    if d.details.get("state_norms"):
        sheet.vector(rank + 2 * states, times=layers)


def mamba2(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int, layers: int) -> None:
    """Mamba-2: heads with a common state, scanned in chunks by products (the SSD form).

    With c chunks of l positions, heads of p channels and n states, a layer multiplies
    queries with keys within chunks (2 l l n a head and chunk), these with the values (2 l l p),
    the chunks' states (2 l n p), states across chunks (2 (c + 1)^2 n p a head) and reads them
    (2 l n p). Positions are padded to whole chunks.
    """
    hidden, states, positions = d.need("hidden"), d.need("state_size"), batch * sequence
    heads, width = int(d.details["mixer_heads"]), int(d.details["mixer_head_dim"])
    groups = int(d.details.get("groups", 1))
    kernel, bias = int(d.details.get("kernel", 4)), bool(d.details.get("bias", False))
    inner = heads * width
    mixed = inner + 2 * groups * states
    sheet.linear("mixer.in", hidden, inner + mixed + heads, positions, times=layers, bias=bias)
    sheet.linear("mixer.out", inner, hidden, positions, times=layers, bias=bias)
    _convolution(sheet, d, width=mixed, kernel=kernel, batch=batch, sequence=sequence, times=layers)
    _scan(sheet, d, batch=batch, sequence=sequence, layers=layers)
    sheet.vector(3 * heads + inner, times=layers)  # A, D, step bias, gated norm


def plamo2(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int, layers: int) -> None:
    """PLaMo 2: Mamba-2's scan behind Mamba's projections; steps and states come of the channels, normed.

    Its convolution begins from an empty memory of kernel - 1 positions and computes none after the end.
    """
    hidden, states, positions = d.need("hidden"), d.need("state_size"), batch * sequence
    heads, width = int(d.details["mixer_heads"]), int(d.details["mixer_head_dim"])
    inner, rank = heads * width, int(d.details["step_rank"])
    for name, inputs, outputs in (
        ("mixer.in", hidden, 2 * inner),
        ("mixer.convolution", int(d.details["kernel"]), inner),
        ("mixer.step_and_states", inner, rank + 2 * states),
        ("mixer.step", rank, heads),
        ("mixer.out", inner, hidden),
    ):
        sheet.linear(name, inputs, outputs, positions, times=layers)
    _scan(sheet, d, batch=batch, sequence=sequence, layers=layers)
    sheet.vector(3 * heads + rank + 2 * states, times=layers)  # A, D, step bias, three norms


def _scan(sheet: Sheet, d: Dimensions, *, batch: int, sequence: int, layers: int) -> None:
    states, length = d.need("state_size"), int(d.details.get("chunk", 256))
    heads, width = int(d.details["mixer_heads"]), int(d.details["mixer_head_dim"])
    chunks = -(-sequence // length)
    each = batch * chunks * heads * layers
    sheet.product("mixer.chunk_scores", 2 * each * length * length * states)
    sheet.product("mixer.chunk_values", 2 * each * length * length * width)
    sheet.product("mixer.chunk_states", 2 * each * length * states * width)
    sheet.product(
        "mixer.across_chunks", 2 * batch * heads * (chunks + 1) ** 2 * states * width * layers
    )
    sheet.product("mixer.read_state", 2 * each * length * states * width)


def _convolution(
    sheet: Sheet, d: Dimensions, *, width: int, kernel: int, batch: int, sequence: int, times: int
) -> None:
    """A filter of its own for each channel."""
    sheet.linear("mixer.convolution", kernel, width, batch * (sequence + kernel - 1), times=times)
    if d.details.get("conv_bias", True):
        sheet.vector(width, times=times)


def _rwkv(sheet: Sheet, d: Dimensions, *, positions: int) -> None:
    """RWKV (version 4): seven products a layer; the recurrence itself is elementwise."""
    layers, hidden, ffn = d.need("layers"), d.need("hidden"), d.need("ffn")
    inner = int(d.details.get("attention_width", hidden))
    for name, inputs, outputs in (
        ("time_mix.key", hidden, inner),
        ("time_mix.value", hidden, inner),
        ("time_mix.receptance", hidden, inner),
        ("time_mix.output", inner, hidden),
        ("channel_mix.key", hidden, ffn),
        ("channel_mix.value", ffn, hidden),
        ("channel_mix.receptance", hidden, hidden),
    ):
        sheet.linear(name, inputs, outputs, positions, times=layers)
    sheet.vector(2 * inner + 5 * hidden, times=layers)  # decay, first, and the mixing weights
    sheet.vector(2 * hidden, times=2 * layers + 1)  # two norms a layer, one before the first


def inner_width(d: Dimensions) -> int:
    """Channels of a mixer: ``expand`` times hidden unless stated."""
    stated = d.details.get("inner")
    return int(stated) if stated else int(d.details.get("expand", 2)) * d.need("hidden")


def step_rank(d: Dimensions) -> int:
    """Rank of the step size: hidden / 16, rounded up, unless stated."""
    stated = d.details.get("step_rank")
    return int(stated) if stated else -(-d.need("hidden") // 16)
