"""Headers of weights: shapes without weights, nothing unpickled, corrupt files refused."""

import io
import json
import math
import pickle
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopcount.model_files.headers import HeaderError, gguf_file, safetensors_file, torch_file
from flopcount.model_files.parameters import ParameterCount
from flopcount.model_files.weight_files import model_files
from flopcount.model_files.weights import compare_with_config, count_weights, read_weights


def safetensors(path, tensors, *, length=None, data=None):
    """Write a header and, sparse, the data that it promises."""
    header, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = safetensors_file.BITS[dtype] // 8
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw) if length is None else length) + raw)
        file.truncate(8 + len(raw) + (at if data is None else data))
    return path


LLAMA = {
    "model.embed_tokens.weight": ("BF16", (100, 8)),
    "model.layers.0.self_attn.q_proj.weight": ("BF16", (8, 8)),
    "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", (4,)),
    "model.norm.weight": ("BF16", (8,)),
    "lm_head.weight": ("BF16", (100, 8)),
}


def test_safetensors_counts_parameters_without_buffers(tmp_path):
    counted = count_weights(safetensors(tmp_path / "model.safetensors", LLAMA))
    # 100*8 + 8*8 + 8 + 100*8; inv_freq is a buffer
    assert counted.parameters.total == 1672
    assert counted.parameters.active == 1672
    assert counted.parameters.total_without_embeddings == 872
    assert counted.parameters.trainable is None
    assert counted.count is None


def test_ten_gigabytes_cost_a_header(tmp_path):
    # 5e9 bf16 numbers, a sparse file of 10 GB
    path = safetensors(tmp_path / "big.safetensors", {"w": ("BF16", (50_000, 100_000))})
    assert path.stat().st_size > 10**10
    assert count_weights(path).parameters.total == 5_000_000_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 2**60}, "claims"),
        ({"length": 20}, "no JSON"),
        ({"data": 10}, "the file holds 10 bytes"),
    ],
)
def test_corrupt_safetensors_are_refused(tmp_path, change, message):
    path = safetensors(tmp_path / "model.safetensors", LLAMA, **change)
    with pytest.raises(HeaderError, match=message):
        safetensors_file.read(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 6]},
        {"dtype": "BF17", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "BF16", "shape": [-2], "data_offsets": [0, 4]},
        {"dtype": "BF16", "shape": [10**30], "data_offsets": [0, 4]},
        {"dtype": "BF16", "shape": [2], "data_offsets": [4, 0]},
        {"dtype": "BF16", "shape": "wide", "data_offsets": [0, 4]},
        {"dtype": "BF16", "shape": [2]},
        7,
    ],
)
def test_impossible_tensors_are_refused_by_name(tmp_path, entry):
    raw = json.dumps({"layer.weight": entry}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(8))
    with pytest.raises(HeaderError, match=r"layer\.weight"):
        safetensors_file.read(path)


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "x"
    for start in (b"", b"GGUF\x03\0\0\0", struct.pack("<Q", len(noise))):
        path.write_bytes(start + noise)
        for reader in (safetensors_file.read, gguf_file.read, torch_file.read):
            try:
                reader(path)
            except HeaderError:
                continue


def gguf(path, tensors, metadata, order="<", data=None):
    def text(value):
        return struct.pack(order + "Q", len(value)) + value.encode()

    out = b"GGUF" + struct.pack(order + "IQQ", 3, len(tensors), len(metadata))
    for key, (kind, raw) in metadata.items():
        out += text(key) + struct.pack(order + "I", kind) + raw(text)
    at = 0
    for name, (shape, kind) in tensors.items():
        out += text(name) + struct.pack(order + "I", len(shape))
        out += struct.pack(order + f"{len(shape)}Q", *shape) + struct.pack(order + "IQ", kind, at)
        _, block, size = gguf_file.TYPES[kind]
        at += -(-math.prod(shape) // block) * size
    with path.open("wb") as file:
        file.write(out)
        file.truncate((-(-len(out) // 32) * 32 + at) if data is None else len(out) + data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_gguf_counts_logical_shapes(tmp_path, order):
    def array(text):
        return struct.pack(order + "IQ", 8, 2) + text("a") + text("bc")

    path = gguf(
        tmp_path / "m.gguf",
        {"token_embd.weight": ((8, 100), 12), "blk.0.attn_q.weight": ((8, 8), 12)},
        {
            "general.name": (8, lambda text: text("Tiny 70B")),
            "tokenizer.ggml.tokens": (9, array),
            "llama.block_count": (4, lambda text: struct.pack(order + "I", 1)),
        },
        order,
    )
    counted = count_weights(path)
    assert counted.parameters.total == 864  # 8*100 + 8*8, whatever the quantisation
    assert counted.name == "Tiny 70B"
    assert "config-name-mismatch" in [finding.code for finding in counted.findings]


def test_gguf_that_is_cut_off_is_refused(tmp_path):
    path = gguf(tmp_path / "m.gguf", {"w": ((8, 8), 0)}, {})
    whole = path.read_bytes()
    for left in (4, 260):  # 8·8 numbers of 4 bytes: within the data, and within the header
        path.write_bytes(whole[:-left])
        with pytest.raises(HeaderError, match="cut off"):
            gguf_file.read(path)


def test_gguf_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = gguf(tmp_path / "m.gguf", {"w": ((2**40, 2**40), 0)}, {}, data=4096)
    with pytest.raises(HeaderError, match="cut off, or corrupt"):
        gguf_file.read(path)


class Boom:
    """Unpickling this would raise."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.trace
@pytest.mark.parametrize("old_form", [False, True])
def test_torch_checkpoint_shapes_with_tied_weights(tmp_path, old_form):
    torch = pytest.importorskip("torch")
    table = torch.nn.Parameter(torch.zeros(100, 8))
    state = {
        "transformer.wte.weight": table,
        "lm_head.weight": table,
        "h.0.weight": torch.zeros(8, 8, dtype=torch.bfloat16),
        "h.0.num_batches_tracked": torch.tensor(3),
    }
    path = tmp_path / "pytorch_model.bin"
    torch.save({"model": state, "step": 7}, path, _use_new_zipfile_serialization=not old_form)
    weights = read_weights(path)
    assert weights.parameters.total == 864  # 100*8 once, 8*8
    # the tied table is one object in the file and is met under its first name
    names = {tensor.name for tensor in weights.tensors}
    assert names >= {"model.transformer.wte.weight", "model.h.0.weight"}


@pytest.mark.parametrize("protocol", range(2, 5))
def test_nothing_is_unpickled(tmp_path, protocol):
    path = tmp_path / "evil.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"w": Boom()}, protocol))
    with pytest.raises(HeaderError, match="no tensors"):
        torch_file.read(path)


def test_a_pickle_that_refers_to_itself_ends(tmp_path):
    loop = []
    loop.append(loop)
    path = tmp_path / "loop.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(loop))
    with pytest.raises(HeaderError, match="no tensors"):
        torch_file.read(path)


def test_deep_nesting_ends(tmp_path):
    path = tmp_path / "deep.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".")
    with pytest.raises(HeaderError, match="no tensors"):
        torch_file.read(path)


def test_a_length_that_lies_reads_nothing(tmp_path):
    path = tmp_path / "lie.pt"
    path.write_bytes(b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x")
    with pytest.raises(HeaderError, match=r"corrupt|bytes"):
        torch_file.read(path)


def test_shards_of_a_folder_are_one_model(tmp_path):
    safetensors(tmp_path / "model-00001-of-00002.safetensors", {"a.weight": ("F16", (3, 5))})
    safetensors(tmp_path / "model-00002-of-00002.safetensors", {"b.weight": ("F16", (2, 2))})
    safetensors(tmp_path / "consolidated.safetensors", {"a.weight": ("F16", (3, 5))})
    assert len(model_files(tmp_path).files) == 2
    assert read_weights(tmp_path).parameters.total == 19
    single = count_weights(tmp_path / "model-00001-of-00002.safetensors")
    assert "partial-weights" in [finding.code for finding in single.findings]


@pytest.mark.parametrize(
    "stored",
    [
        {"a.qweight": ("I32", (8, 8))},  # GPTQ, AWQ
        {"a.W_q": ("U8", (64, 64)), "a.scale": ("F32", (1, 64)), "a.zero": ("F32", (1, 64))},  # HQQ
    ],
)
def test_packed_weights_have_no_known_total(tmp_path, stored):
    path = safetensors(tmp_path / "packed.safetensors", stored)
    counted = count_weights(path)
    assert counted.parameters is None
    assert "packed-weights" in [finding.code for finding in counted.findings]


def test_experts_leave_the_active_number_unknown(tmp_path):
    path = safetensors(tmp_path / "m.safetensors", {"l.0.experts.0.w1.weight": ("BF16", (4, 4))})
    assert count_weights(path).parameters.total == 16
    assert count_weights(path).parameters.active is None


def test_an_unknown_zip_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(HeaderError, match="no torch checkpoint"):
        torch_file.read(path)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("model-00001-of-000002", "model-00002-of-000002"),
        ("model-1-of-2", "model-2-of-2"),
        ("model-00000-of-00002", "model-00001-of-00002"),
    ],
)
def test_shards_are_numbered_in_many_ways(tmp_path, first, second):
    safetensors(tmp_path / f"{first}.safetensors", {"a.weight": ("F16", (3, 5))})
    safetensors(tmp_path / f"{second}.safetensors", {"b.weight": ("F16", (2, 2))})
    counted = count_weights(tmp_path)
    assert counted.parameters.total == 19
    assert "partial-weights" not in [finding.code for finding in counted.findings]


def test_two_sets_of_shards_are_one_model(tmp_path):
    """Published folders hold the library's form beside the trainer's own."""
    for name in ("consolidated", "model"):
        for number in (1, 2):
            path = tmp_path / f"{name}-0000{number}-of-00002.safetensors"
            safetensors(path, {f"{name}.{number}.weight": ("F16", (3, 5))})
    counted = count_weights(tmp_path)
    assert counted.parameters.total == 30
    assert {tensor.name for tensor in read_weights(tmp_path).tensors} == {
        "model.1.weight",
        "model.2.weight",
    }


def test_missing_shards_are_said(tmp_path):
    for number in (1, 3):
        path = tmp_path / f"model-0000{number}-of-00003.safetensors"
        safetensors(path, {f"{number}.weight": ("F16", (3, 5))})
    counted = count_weights(tmp_path)
    (finding,) = [f for f in counted.findings if f.code == "partial-weights"]
    assert "missing: 2;" in finding.message
    whole = ParameterCount(
        total=45, trainable=None, active=None,
        total_without_embeddings=None, active_without_embeddings=None,
    )  # fmt: skip
    assert "missing (2)" in compare_with_config(tmp_path, whole).message


def test_other_files_of_a_folder_are_said(tmp_path):
    safetensors(tmp_path / "ae.safetensors", {"a.weight": ("F16", (3, 5))})
    safetensors(tmp_path / "model.safetensors", {"b.weight": ("F16", (2, 2))})
    counted = count_weights(tmp_path)
    assert counted.parameters.total == 4
    (finding,) = [f for f in counted.findings if f.code == "weights-unread"]
    assert "ae.safetensors" in finding.message


def test_slices_of_matrices_have_no_total(tmp_path):
    torch = pytest.importorskip("torch")
    for number in range(2):
        path = tmp_path / f"consolidated.0{number}.pth"
        torch.save({"layers.0.wq.weight": torch.zeros(4, 4)}, path)
    with pytest.raises(HeaderError, match="slices"):
        count_weights(tmp_path)
    one = count_weights(tmp_path / "consolidated.00.pth")
    assert "partial-weights" in [finding.code for finding in one.findings]


@pytest.mark.parametrize(
    "tensors",
    [
        # two numbers of four bits in a byte, with scales of scales (NVFP4)
        {
            "up.weight": ("U8", (64, 32)),
            "up.weight_scale": ("F8_E4M3", (64, 4)),
            "up.weight_scale_2": ("F32", ()),
        },
        {"up.weight": ("I8", (64, 32)), "up.scale": ("F8_E8M0", (64, 2))},
        {"up_blocks": ("U8", (8, 2, 16)), "up_scales": ("U8", (8, 2))},
    ],
)
def test_numbers_of_four_bits_have_no_known_total(tmp_path, tensors):
    counted = count_weights(safetensors(tmp_path / "model.safetensors", tensors))
    assert counted.parameters is None
    assert "packed-weights" in [finding.code for finding in counted.findings]


@pytest.mark.parametrize(
    "scales",
    [
        {"up.scale": ("F32", (2, 2))},
        {"up.weight_scale_inv": ("F32", (2, 2))},
        {"up.SCB": ("F32", (64,))},
        {"up.scale": ("F8_E8M0", (2, 2))},
        {"up.k_scale": ("F32", ()), "up.input_scale": ("F32", ())},
    ],
)
def test_scales_of_quantised_weights_are_no_parameters(tmp_path, scales):
    stored = {"up.weight": ("F8_E4M3", (64, 32)), "up.bias": ("BF16", (64,))}
    path = safetensors(tmp_path / "model.safetensors", stored | scales)
    # 64·32 weights and 64 biases; a norm's own "scale" beside no quantised weight is trained
    assert count_weights(path).parameters.total == 2112
    path = safetensors(tmp_path / "model.safetensors", stored | {"norm.scale": ("BF16", (64,))})
    assert count_weights(path).parameters.total == 2176


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.block_sparse_moe.input_linear.weight",
        "model.layers.0.moe.up_proj.weight",
        "blk.0.ffn_gate_up_exps.weight",
        "blk.0.ffn_gate.3.weight",
        "layers.0.mlp.router.weight",
    ],
)
def test_every_mark_of_a_mixture_leaves_the_active_number_unknown(tmp_path, name):
    path = safetensors(tmp_path / "m.safetensors", {name: ("BF16", (4, 4))})
    assert count_weights(path).parameters.total == 16
    assert count_weights(path).parameters.active is None


@pytest.mark.trace
@pytest.mark.parametrize(
    ("kept", "left"),
    [
        (lambda m, o: {"model": m(), "optimizer": o, "step": 5}, "optimizer"),
        (lambda m, o: {"model": m(), "ema": m(), "opt": o}, "ema, opt"),
        (lambda m, o: {"state_dict": m(), "optimizer_states": [o]}, "optimizer_states"),
        (lambda m, o: {"student": m(), "teacher": m(), "history": o}, "history, teacher"),
    ],
)
def test_what_a_trainer_stores_beside_the_weights_is_no_weight(tmp_path, kept, left):
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(10, 10)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros(1, 10)).sum().backward()
    optimizer.step()
    path = tmp_path / "checkpoint.pt"
    copy = {name: value.clone() for name, value in model.state_dict().items()}
    states = iter([model.state_dict(), copy])
    torch.save(kept(lambda: next(states), optimizer.state_dict()), path)
    counted = count_weights(path)
    assert counted.parameters.total == 110  # 10·10 and 10, not three or four times as many
    (finding,) = [f for f in counted.findings if f.code == "checkpoint-parts"]
    assert finding.message.endswith(left)


@pytest.mark.trace
def test_an_optimizers_state_alone_is_no_model(tmp_path):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    path = tmp_path / "state.pt"
    torch.save(optimizer.state_dict(), path)
    counted = count_weights(path)
    assert counted.parameters is None
    assert "weights-unreadable" in [finding.code for finding in counted.findings]


@pytest.mark.trace
@pytest.mark.parametrize(
    ("view", "numbers"),
    [
        (lambda t: t.as_strided((1000, 1000), (0, 0)), 1),  # one number, a million times
        (lambda t: t.as_strided((2, 2), (2, 1)), 4),
    ],
)
def test_a_view_holds_what_lies_in_its_storage(tmp_path, view, numbers):
    torch = pytest.importorskip("torch")
    path = tmp_path / "view.pt"
    torch.save({"w.weight": view(torch.zeros(4))}, path)
    assert count_weights(path).parameters.total == numbers


@pytest.mark.trace
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "view.pt"
    torch.save({"w.weight": torch.zeros(3000).as_strided((1500, 1500), (1, 1))}, path)
    with pytest.raises(HeaderError, match="overlaps itself"):
        torch_file.read(path)
    raw = zipfile.ZipFile(path).read("view/data.pkl")
    # the sizes as two bytes each: 1500 becomes 15000
    raw = raw.replace(struct.pack("<H", 1500), struct.pack("<H", 15000))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("view/data.pkl", raw)
    with pytest.raises(HeaderError, match="does not fit its storage"):
        torch_file.read(path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ('"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' * 2, "stands twice"),
        (
            '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            '"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},',
            "begins at 0",
        ),
        ('"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},', "end at 4"),
    ],
)
def test_tensors_upon_each_other_are_refused(tmp_path, entries, message):
    raw = ("{" + entries.rstrip(",") + "}").encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(8))
    with pytest.raises(HeaderError, match=message):
        safetensors_file.read(path)
