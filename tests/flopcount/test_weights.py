"""Headers of weights: shapes without weights, nothing unpickled, corrupt files refused."""

import io
import json
import pickle
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopcount.headers import HeaderError, gguf_file, safetensors_file, torch_file
from flopcount.weights import count_weights, read_weights, weight_files


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


def gguf(path, tensors, metadata, order="<"):
    def text(value):
        return struct.pack(order + "Q", len(value)) + value.encode()

    out = b"GGUF" + struct.pack(order + "IQQ", 3, len(tensors), len(metadata))
    for key, (kind, raw) in metadata.items():
        out += text(key) + struct.pack(order + "I", kind) + raw(text)
    for name, (shape, kind) in tensors.items():
        out += text(name) + struct.pack(order + "I", len(shape))
        out += struct.pack(order + f"{len(shape)}Q", *shape) + struct.pack(order + "IQ", kind, 0)
    path.write_bytes(out)
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
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(HeaderError, match="cut off"):
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
    assert len(weight_files(tmp_path)) == 2
    assert read_weights(tmp_path).parameters.total == 19
    single = count_weights(tmp_path / "model-00001-of-00002.safetensors")
    assert "partial-weights" in [finding.code for finding in single.findings]


def test_packed_weights_have_no_known_total(tmp_path):
    path = safetensors(tmp_path / "gptq.safetensors", {"a.qweight": ("I32", (8, 8))})
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
