"""ONNX files and exported programs: FLOP from the graph alone, forward and backward."""

import json
import zipfile

import pytest

from flopcount.errors import FlopcountError

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.trace
FLOAT, INT = 1, 7


def weight(name, *shape):
    size = 4
    for side in shape:
        size *= side
    return onnx.helper.make_tensor(name, FLOAT, shape, bytes(size), raw=True)


def model(path, nodes, inputs, weights):
    """Write an ONNX file; nodes are (op, inputs, outputs, attributes)."""
    made = [onnx.helper.make_node(op, i, o, name=f"/net/{op}", **a) for op, i, o, a in nodes]
    values = [onnx.helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in inputs.items()]
    last = onnx.helper.make_tensor_value_info(nodes[-1][2][0], FLOAT, None)
    graph = onnx.helper.make_graph(made, "g", values, [last], weights)
    made_model = onnx.helper.make_model(graph)
    made_model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(made_model, path)
    return path


def count(path, **keywords):
    from flopcount.onnx_files.graph import count_onnx

    return count_onnx(path, **keywords)


def test_two_layers_with_free_sizes(tmp_path):
    path = model(
        tmp_path / "net.onnx",
        [
            ("MatMul", ["x", "w"], ["a"], {}),
            ("Relu", ["a"], ["b"], {}),
            ("MatMul", ["b", "v"], ["y"], {}),
        ],
        {"x": ["batch", "seq", 16]},
        [weight("w", 16, 32), weight("v", 32, 8)],
    )
    counted = count(path, batch=2, sequence=3)
    # 2 * 6 * 16 * 32 = 6144 and 2 * 6 * 32 * 8 = 3072
    assert counted.count.forward == 6144 + 3072
    # the first input is data: one gradient; the second product has two
    assert counted.count.backward == 6144 + 2 * 3072
    assert counted.count.elementwise == 2 * 3 * 32
    assert counted.parameters.total == 16 * 32 + 32 * 8
    assert counted.count.by_module["net"] == 3 * (6144 + 3072) - 6144
    assert count(path, batch=2, sequence=3, backward=False).count.backward == 0


def test_a_free_size_is_unknown(tmp_path):
    path = model(
        tmp_path / "net.onnx",
        [("MatMul", ["x", "w"], ["y"], {})],
        {"x": ["batch", "seq", 16]},
        [weight("w", 16, 32)],
    )
    counted = count(path)
    assert counted.count is None
    assert counted.findings[0].code == "input-size-unknown"


def fixed_onnx(folder):
    nodes = [("MatMul", ["x", "w"], ["y"], {})]
    return str(model(folder / "net.onnx", nodes, {"x": [3, 16]}, [weight("w", 16, 32)]))


def fixed_export(folder):
    layer = torch.nn.Linear(16, 32, bias=False)
    torch.export.save(torch.export.export(layer, (torch.zeros(3, 16),)), folder / "net.pt2")
    return str(folder / "net.pt2")


def fixed_factory(folder):
    (folder / "of_three.py").write_text(
        "import torch\ndef make(): return torch.nn.Linear(16, 32, bias=False), torch.zeros(3, 16)\n"
    )
    return "of_three:make"


@pytest.mark.parametrize("write", [fixed_onnx, fixed_export, fixed_factory])
def test_sizes_that_are_fixed_are_not_called_what_was_asked_for(tmp_path, monkeypatch, write):
    from flopcount.model_files.sources import count_source

    monkeypatch.chdir(tmp_path)
    source = write(tmp_path)
    plain = count_source(source)
    asked = count_source(source, batch=4, sequence=7)
    # 2·3·16·32 of the three rows that the inputs have, whatever was asked for
    assert plain.count.forward == asked.count.forward == 3072
    assert plain.batch is asked.batch is asked.sequence is None
    assert [(f.code, f.severity) for f in plain.findings] == [("batch-not-read", "info")]
    assert [(f.code, f.severity) for f in asked.findings] == [
        ("batch-not-read", "warning"),
        ("length-not-read", "warning"),
    ]
    assert "--batch 4 was not used" in asked.findings[0].message
    of_three = count_source(source, batch=3)
    assert (of_three.batch, of_three.findings) == (3, ())


def test_convolutions_and_gemm(tmp_path):
    path = model(
        tmp_path / "net.onnx",
        [
            ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]}),
            ("Conv", ["a", "d"], ["b"], {"pads": [1, 1, 1, 1], "group": 8}),
            ("ConvTranspose", ["b", "t"], ["c"], {"strides": [2, 2]}),
            ("GlobalAveragePool", ["c"], ["p"], {}),
            ("Flatten", ["p"], ["f"], {}),
            ("Gemm", ["f", "g"], ["y"], {"transB": 1}),
        ],
        {"x": ["N", 3, 10, 10]},
        [weight("w", 8, 3, 3, 3), weight("d", 8, 1, 3, 3), weight("t", 8, 4, 2, 2),
         weight("g", 5, 4)],
    )  # fmt: skip
    counted = count(path, batch=2)
    first = 2 * (2 * 8 * 100) * 27
    depthwise = 2 * (2 * 8 * 100) * 9
    transposed = 2 * (2 * 8 * 100) * (4 * 4)
    gemm = 2 * 2 * 4 * 5
    assert counted.count.forward == first + depthwise + transposed + gemm
    assert counted.count.backward == first + 2 * (depthwise + transposed + gemm)


def test_recurrent_layers(tmp_path):
    path = model(
        tmp_path / "net.onnx",
        [("LSTM", ["x", "w", "r"], ["y"], {"hidden_size": 6})],
        {"x": [5, 2, 3]},
        [weight("w", 1, 24, 3), weight("r", 1, 24, 6)],
    )
    counted = count(path)
    # 5 steps of 2 rows: 24 x 3 for the input, 24 x 6 for the state
    of_input, of_state = 2 * 10 * 24 * 3, 2 * 10 * 24 * 6
    assert counted.count.forward == of_input + of_state
    # the state given to the first of the 5 steps was not computed and gets no gradient
    assert counted.count.backward == of_input + of_state + of_state * 4 // 5


def test_a_pipeline_of_scikit_learn(tmp_path):
    """Scaler, PCA and a linear classifier, in the shape that skl2onnx writes them."""
    ml = {"domain": "ai.onnx.ml"}
    nodes = [
        ("Scaler", ["x"], ["scaled"], ml | {"offset": [0.0] * 8, "scale": [1.0] * 8}),
        ("Sub", ["scaled", "mean"], ["centred"], {}),
        ("MatMul", ["centred", "axes"], ["few"], {}),
        ("LinearClassifier", ["few"], ["label", "scores"],
         ml | {"coefficients": [0.5] * 12, "intercepts": [0.0] * 3, "classlabels_ints": [0, 1, 2]}),
    ]  # fmt: skip
    path = tmp_path / "pipeline.onnx"
    model(path, nodes, {"x": ["batch", 8]}, [weight("mean", 8), weight("axes", 8, 4)])
    counted = count(path, batch=2)
    # 2 rows: 8 -> 4 is 2·2·8·4, three classes of four numbers are 2·2·12
    assert counted.count.forward == 128 + 48
    # the axes' gradient 128 (the data need none), the classifier's own and its input's 2·48
    assert counted.count.backward == 128 + 96
    assert counted.count.uncounted == ()
    assert counted.parameters.total == 8 + 32 + 12 + 3


def test_an_unknown_operator_is_named(tmp_path):
    path = model(
        tmp_path / "net.onnx",
        [("MatMul", ["x", "w"], ["a"], {}), ("Frobnicate", ["a"], ["y"], {})],
        {"x": [2, 16]},
        [weight("w", 16, 32)],
    )
    counted = count(path).count
    assert [entry.op for entry in counted.uncounted] == ["onnx.Frobnicate"]
    assert counted.flop_bounds == (counted.total, None)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07" + b"\xff" * 100])
def test_what_is_no_onnx_is_refused(tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(FlopcountError, match=r"net\.onnx"):
        count(path)


def test_a_preset_needs_a_traced_model(tmp_path):
    path = model(
        tmp_path / "net.onnx",
        [("MatMul", ["x", "w"], ["y"], {})],
        {"x": [2, 16]},
        [weight("w", 16, 32)],
    )
    with pytest.raises(FlopcountError, match="megatron"):
        count(path, convention="megatron")


class Net(torch.nn.Module):
    """Convolution, attention and a head."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.mix = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x):
        y = self.norm(self.stem(x)).flatten(2).transpose(1, 2)
        y, _ = self.mix(y, y, y)
        return self.head(y.mean(1))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "net.pt2"
    program = torch.export.export(
        Net(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, path)
    return path


def test_an_export_counts_as_the_module(exported):
    import flopcount
    from flopcount.graph import count_export

    counted = count_export(exported, batch=4)
    traced = flopcount.count(Net(), torch.zeros(4, 3, 8, 8))
    assert (counted.count.forward, counted.count.backward) == (traced.forward, traced.backward)
    assert counted.parameters.total == sum(p.numel() for p in Net().parameters())
    assert counted.count.by_module["stem"] == traced.by_module["stem"]


def changed(exported, path, change):
    """The exported file with its graph changed."""
    with zipfile.ZipFile(exported) as source, zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith("models/model.json"):
                program = json.loads(data)
                change(program["graph_module"])
                data = json.dumps(program).encode()
            target.writestr(info, data)
    return path


def with_node(target, *arguments):
    """A change that puts one operator before all others."""
    inputs = [{"name": name, "arg": value, "kind": 1} for name, value in arguments]
    node = {"target": target, "inputs": inputs, "outputs": [{"as_tensor": {"name": "more"}}]}
    return lambda module: module["graph"]["nodes"].insert(0, node | {"metadata": {}})


def test_an_export_with_a_foreign_operator_is_refused(exported, tmp_path):
    from flopcount.graph import count_export

    path = changed(exported, tmp_path / "evil.pt2", with_node("os.system"))
    with pytest.raises(FlopcountError, match=r"os\.system"):
        count_export(path, batch=2)


def test_an_operator_that_touches_files_is_refused(exported, tmp_path):
    """aten::from_file makes the file that it is told to map."""
    from flopcount.graph import count_export

    made = tmp_path / "made"
    node = with_node(
        "torch.ops.aten.from_file.default",
        ("filename", {"as_string": str(made)}),
        ("shared", {"as_bool": True}),
        ("size", {"as_int": 1000}),
    )
    with pytest.raises(FlopcountError, match="from_file"):
        count_export(changed(exported, tmp_path / "evil.pt2", node), batch=2)
    assert not made.exists()


def test_a_new_tensor_takes_no_memory(exported, tmp_path):
    """Ten thousand gigabytes of ones: on meta whether the graph names a device or not."""
    from flopcount.graph import count_export

    node = with_node("torch.ops.aten.ones.default", ("size", {"as_ints": [10**12, 5]}))
    counted = count_export(changed(exported, tmp_path / "net.pt2", node), batch=4)
    assert counted.count.forward == count_export(exported, batch=4).count.forward


@pytest.mark.parametrize(
    ("name", "operands"),
    [("pow", [10, 10**9]), ("pow", [2, -1]), ("mul", ["ab", 10**12]), ("mul", [10**12, 10**12])],
)
def test_arithmetic_on_sizes_stays_small(exported, tmp_path, name, operands):
    from flopcount.graph import count_export

    kinds = {int: "as_int", str: "as_string"}
    arguments = [(f"a{i}", {kinds[type(v)]: v}) for i, v in enumerate(operands)]
    path = changed(exported, tmp_path / "net.pt2", with_node(f"_operator.{name}", *arguments))
    with pytest.raises(FlopcountError, match=f"_operator.{name}"):
        count_export(path, batch=2)


def damaged(place, value):
    """A change of one thing inside the graph."""

    def change(module):
        *way, last = place
        inner = module
        for step in way:
            inner = inner[step]
        inner[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        damaged(("graph", "nodes", 0), None),
        damaged(("graph", "nodes", 0, "inputs"), 5),
        damaged(("graph", "nodes", 0, "metadata"), [1]),
        damaged(("graph", "nodes", 0, "target"), 7),
        damaged(("graph", "tensor_values", "p_stem_weight", "sizes"), [{"as_int": 2**47}] * 2),
        damaged(("graph", "tensor_values", "p_stem_weight", "sizes"), {"as_int": 3}),
        damaged(("signature", "input_specs", -1), {"user_input": {"arg": {"as_int": {"x": []}}}}),
    ],
)
def test_a_damaged_graph_is_an_error_of_the_file(exported, tmp_path, change):
    from flopcount.graph import count_export

    with pytest.raises(FlopcountError, match=r"net\.pt2"):
        count_export(changed(exported, tmp_path / "net.pt2", change), batch=2)


def test_a_module_may_bear_any_name(tmp_path):
    """``values`` and ``training`` are names that the walk, or every module, has for something else."""
    from flopcount.graph import count_export

    class Named(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.values = torch.nn.Linear(4, 4)

        def forward(self, x):
            return self.values(x)

    path = tmp_path / "named.pt2"
    torch.export.save(torch.export.export(Named(), (torch.zeros(2, 4),)), path)
    # 2·2·4·4; the input is data, so one gradient
    assert count_export(path, batch=2).count.by_module["values"] == 128

    def label(module):
        for node in module["graph"]["nodes"]:
            node["metadata"]["nn_module_stack"] = "L__self___training,training.forward,x"

    counted = count_export(changed(path, tmp_path / "label.pt2", label), batch=2)
    assert counted.count.total == 128


def test_a_length_that_stands_first_somewhere_is_no_batch(tmp_path):
    """Positions (length) come before tokens (batch, length): both sizes of the tokens are told apart."""
    from flopcount.graph import count_export

    class Placed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = torch.nn.Linear(8, 16)

        def forward(self, places, x):
            return self.mix(x + places[None, :, None])

    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    program = torch.export.export(
        Placed(),
        (torch.zeros(6), torch.zeros(3, 6, 8)),
        dynamic_shapes=({0: length}, {0: batch, 1: length}),
    )
    path = tmp_path / "placed.pt2"
    torch.export.save(program, path)
    counted = count_export(path, batch=5, sequence=7)
    # 2·5·7·8·16
    assert (counted.count.forward, counted.batch, counted.sequence) == (8960, 5, 7)
    assert counted.findings == ()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_what_is_no_export_is_refused(tmp_path, content):
    from flopcount.graph import count_export

    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(FlopcountError, match=r"net\.pt2"):
        count_export(path)


def test_a_graph_of_another_form_is_refused(tmp_path):
    from flopcount.graph import count_export

    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/models/model.json", '{"graph_module": 3}')
    with pytest.raises(FlopcountError, match="not of the known form"):
        count_export(path)
