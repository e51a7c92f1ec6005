"""Forms that the converters of Keras, TensorFlow and scikit-learn write, rebuilt by hand."""

import numpy as np
import pytest

from flopcount.errors import FlopcountError

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.trace
FLOAT, INT, BOOL = 1, 7, 9


def node(op, inputs, outputs, **attributes):
    return onnx.helper.make_node(op, inputs, outputs, name=f"/net/{op}", **attributes)


def ints(name, *numbers):
    return onnx.numpy_helper.from_array(np.array(numbers, np.int64), name)


def scalar(name, number):
    return onnx.numpy_helper.from_array(np.array(number, np.int64), name)


def floats(name, *shape):
    return onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)


def saved(path, nodes, inputs, stored, output):
    values = [onnx.helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in inputs.items()]
    last = onnx.helper.make_tensor_value_info(output, FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "g", values, [last], stored)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    made.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(made, path)
    return path


def count(path, **keywords):
    from flopcount.onnx_files.graph import count_onnx

    return count_onnx(path, **keywords)


def test_a_tensordot_whose_shapes_the_graph_computes(tmp_path):
    # As tf2onnx writes keras.layers.MultiHeadAttention: sizes gathered, multiplied, concatenated.
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "rows_at"], ["rows"], axis=0),
        node("ReduceProd", ["rows"], ["all_rows"], keepdims=1, axes=[0]),
        node("Concat", ["all_rows", "width"], ["flat"], axis=0),
        node("Reshape", ["x", "flat"], ["x2"]),
        node("MatMul", ["x2", "w"], ["q2"]),
        node("Concat", ["rows", "parts"], ["back"], axis=0),
        node("Reshape", ["q2", "back"], ["q"]),
        node("Transpose", ["q"], ["queries"], perm=[0, 2, 1, 3]),
        node("Transpose", ["q"], ["keys"], perm=[0, 2, 3, 1]),
        node("MatMul", ["queries", "keys"], ["scores"]),
        node("Erfc", ["scores"], ["y"], domain="ai.onnx.contrib"),
    ]
    stored = [ints("rows_at", 0, 1), ints("width", 32), ints("parts", 4, 8), floats("w", 32, 32)]
    counted = count(saved(tmp_path / "a.onnx", nodes, {"x": [2, 9, 32]}, stored, "y"))
    projection = 2 * (2 * 9) * 32 * 32
    scores = 2 * (2 * 4 * 9 * 9) * 8
    assert counted.count.uncounted == ()
    assert counted.count.forward == projection + scores
    # x needs no gradient: the weight's only; both operands of the scores need theirs
    assert counted.count.backward == projection + 2 * scores
    assert counted.parameters.total == 32 * 32


def recurrence(tmp_path, *, steps, limit):
    """A loop over time as tf2onnx writes keras.layers.GRU: the weights are handed from turn to turn."""
    body = onnx.helper.make_graph(
        [
            node("Gather", ["x", "t"], ["x_t"], axis=0),
            node("Add", ["t", "one"], ["t_next"]),
            node("Less", ["t_next", "steps"], ["go_on"]),
            node("Gemm", ["x_t", "w_in"], ["a"]),
            node("Gemm", ["h", "r_in", "a"], ["b"]),
            node("Tanh", ["b"], ["h_next"]),
        ],
        "body",
        [
            onnx.helper.make_tensor_value_info("turn", INT, []),
            onnx.helper.make_tensor_value_info("go", BOOL, []),
            onnx.helper.make_tensor_value_info("t", INT, []),
            onnx.helper.make_tensor_value_info("h", FLOAT, [2, 6]),
            onnx.helper.make_tensor_value_info("w_in", FLOAT, [3, 6]),
            onnx.helper.make_tensor_value_info("r_in", FLOAT, [6, 6]),
        ],
        [
            onnx.helper.make_tensor_value_info("go_on", BOOL, []),
            onnx.helper.make_tensor_value_info("t_next", INT, []),
            onnx.helper.make_tensor_value_info("h_next", FLOAT, [2, 6]),
            onnx.helper.make_tensor_value_info("w_in", FLOAT, [3, 6]),
            onnx.helper.make_tensor_value_info("r_in", FLOAT, [6, 6]),
        ],
        [scalar("one", 1), steps],
    )
    nodes = [
        node("Loop", [limit, "", "start", "zeros", "w", "r"], ["n", "last", "w_o", "r_o"],
             body=body),
        node("MatMul", ["last", "v"], ["y"]),
    ]  # fmt: skip
    stored = [scalar("start", 0), scalar("most", 100), floats("zeros", 2, 6), floats("w", 3, 6),
              floats("r", 6, 6), floats("v", 6, 4)]  # fmt: skip
    return saved(tmp_path / "loop.onnx", nodes, {"x": [5, 2, 3]}, stored, "y")


def test_a_loop_whose_counter_can_be_followed(tmp_path):
    counted = count(recurrence(tmp_path, steps=scalar("steps", 5), limit="most"))
    of_input, of_state, last = 2 * 2 * 3 * 6, 2 * 2 * 6 * 6, 2 * 2 * 6 * 4
    assert counted.count.uncounted == ()
    assert counted.count.forward == 5 * (of_input + of_state) + last
    # the weights in all 5 turns, the state in the 4 whose state was computed
    assert counted.count.backward == 5 * of_input + 5 * of_state + 4 * of_state + 2 * last


def test_a_loop_that_depends_on_data_is_named(tmp_path):
    path = recurrence(tmp_path, steps=scalar("other", 5), limit="most")
    counted = count(path)  # 'steps' has no value anywhere
    assert "onnx.Loop" in [item.op for item in counted.count.uncounted]


def test_a_loop_without_end_is_named(tmp_path):
    counted = count(recurrence(tmp_path, steps=scalar("steps", 10**15), limit=""))
    assert "onnx.Loop" in [item.op for item in counted.count.uncounted]


def test_support_vectors_are_stored_numbers(tmp_path):
    machine = node(
        "SVMRegressor", ["x"], ["y"], domain="ai.onnx.ml",
        coefficients=[0.5] * 7, support_vectors=[1.0] * 21, rho=[0.1], n_supports=7,
    )  # fmt: skip
    counted = count(saved(tmp_path / "svm.onnx", [machine], {"x": [4, 3]}, [], "y"))
    # 4 rows meet 7 vectors of 3 numbers, then 7 coefficients
    assert counted.count.forward == 2 * 4 * (21 + 7)
    assert counted.parameters.total == 7 + 21 + 1


def test_sizes_that_would_fill_the_memory_are_not_evaluated(tmp_path):
    nodes = [
        node("ConstantOfShape", ["huge"], ["zeros"]),
        node("Range", ["begin", "end", "step"], ["many"]),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    stored = [ints("huge", 10**6, 10**6), scalar("begin", 0), scalar("end", 10**12),
              scalar("step", 1), floats("w", 3, 3)]  # fmt: skip
    counted = count(saved(tmp_path / "huge.onnx", nodes, {"x": [4, 3]}, stored, "y"))
    assert counted.count.forward == 2 * 4 * 3 * 3


def subgraph(name, nodes, inputs, outputs, stored=()):
    # JAX's exporter writes what a body reads and hands on without any size.
    def value(n, kind):
        return onnx.helper.make_tensor_value_info(n, kind, None)

    return onnx.helper.make_graph(
        nodes,
        name,
        [value(n, kind) for n, kind in inputs],
        [value(n, kind) for n, kind in outputs],
        list(stored),
    )


def test_a_loop_as_jax_exports_a_scan(tmp_path):
    # The weight is carried and handed on by an Identity, the first state is a computed zero.
    body = subgraph(
        "body",
        [
            node("Identity", ["go"], ["go_on"]),
            node("Identity", ["w"], ["w_on"]),
            node("Slice", ["w", "from", "to", "axis"], ["half"]),
            node("Gemm", ["h", "half"], ["y"]),
            node("Tanh", ["y"], ["h_on"]),
        ],
        [("i", INT), ("go", BOOL), ("w", FLOAT), ("h", FLOAT)],
        [("go_on", BOOL), ("w_on", FLOAT), ("h_on", FLOAT)],
        [ints("from", 0), ints("to", 8), ints("axis", 1)],
    )
    nodes = [
        node("ConstantOfShape", ["sizes"], ["zeros"]),
        node("Add", ["x", "zeros"], ["start"]),
        node("Loop", ["turns", "yes", "weight", "start"], ["w_end", "out"], body=body),
    ]
    yes = onnx.numpy_helper.from_array(np.array(True), "yes")
    stored = [ints("sizes", 4, 8), scalar("turns", 5), yes, floats("weight", 8, 16)]
    counted = count(saved(tmp_path / "a.onnx", nodes, {"x": [4, 8]}, stored, "out"))
    # 5 turns of (4 x 8) by (8 x 8); the weight's gradient each, the state's but for the first.
    assert counted.count.forward == 5 * 2 * 4 * 8 * 8
    assert counted.count.backward == (5 + 4) * 2 * 4 * 8 * 8
    assert counted.count.uncounted == ()


def test_a_choice_counts_where_both_branches_cost_the_same(tmp_path):
    def branch(name, width):
        product = node("MatMul", ["x", f"{name}_w"], [f"{name}_y"])
        last = node("ReduceSum", [f"{name}_y"], [f"{name}_out"])
        return subgraph(
            name, [product, last], [], [(f"{name}_out", FLOAT)], [floats(f"{name}_w", 8, width)]
        )

    def graph(other, path):
        choice = node(
            "If", ["which"], ["y"], then_branch=branch("a", 16), else_branch=branch("b", other)
        )
        which = onnx.numpy_helper.from_array(np.array(True), "which")
        return count(saved(path, [choice], {"x": [4, 8]}, [which], "y"))

    same = graph(16, tmp_path / "same.onnx")
    assert same.count.forward == 2 * 4 * 8 * 16
    assert same.count.uncounted == ()
    different = graph(32, tmp_path / "different.onnx")
    assert different.count.forward == 0
    assert [unknown.op for unknown in different.count.uncounted] == ["onnx.If"]


def test_a_first_state_as_large_as_an_activation_is_given_and_not_computed(tmp_path):
    # As torch's scripting exporter writes the second layer of a GRU: zeros, their batch read off
    # the first layer's result. Nothing differentiates a size.
    steps, batch, wide, hidden = 7, 4, 24, 32
    nodes = [
        node("GRU", ["x", "w1", "r1"], ["h1"], hidden_size=hidden),
        node("Reshape", ["h1", "flat"], ["x2"]),
        node("Shape", ["x2"], ["sizes"]),
        node("Gather", ["sizes", "second"], ["batch"], axis=0),
        node("Concat", ["one", "batch", "hidden"], ["state_sizes"], axis=0),
        node("Expand", ["zero", "state_sizes"], ["state"]),
        node("GRU", ["x2", "w2", "r2", "", "", "state"], ["y"], hidden_size=hidden),
    ]
    stored = [
        floats("w1", 1, 3 * hidden, wide),
        floats("r1", 1, 3 * hidden, hidden),
        floats("w2", 1, 3 * hidden, hidden),
        floats("r2", 1, 3 * hidden, hidden),
        floats("zero", 1, 1, 1),
        ints("flat", steps, batch, hidden),
        ints("second", 1),
        ints("one", 1),
        ints("hidden", hidden),
    ]
    counted = count(saved(tmp_path / "a.onnx", nodes, {"x": [steps, batch, wide]}, stored, "y"))
    into, state = 2 * steps * batch * 3 * hidden * wide, 2 * steps * batch * 3 * hidden * hidden
    assert counted.count.forward == (into + state) + (state + state)
    # weights: all products once more; states: the second layer's input, and of both recurrent
    # products every step but the first, whose state is given; x needs none
    later = state * (steps - 1) // steps
    assert counted.count.backward == (into + 3 * state) + state + 2 * later


def test_a_scan_is_walked_slice_by_slice(tmp_path):
    # A recurrent layer over 5 steps: x (5, 3, 4) scanned, the state (3, 8) carried.
    body = subgraph(
        "body",
        [
            node("MatMul", ["x_t", "w"], ["in"]),
            node("MatMul", ["h", "r"], ["back"]),
            node("Add", ["in", "back"], ["sum"]),
            node("Tanh", ["sum"], ["h_on"]),
            node("Identity", ["h_on"], ["y_t"]),
        ],
        [("h", FLOAT), ("x_t", FLOAT)],
        [("h_on", FLOAT), ("y_t", FLOAT)],
    )
    nodes = [node("Scan", ["start", "x"], ["h_end", "y"], body=body, num_scan_inputs=1)]
    stored = [floats("start", 3, 8), floats("w", 4, 8), floats("r", 8, 8)]
    counted = count(saved(tmp_path / "a.onnx", nodes, {"x": [5, 3, 4]}, stored, "y")).count
    into, state = 2 * 3 * 4 * 8, 2 * 3 * 8 * 8
    assert counted.forward == 5 * (into + state)
    # each weight's gradient at each step; the state's but for the first, which is given
    assert counted.backward == 5 * (into + state) + 4 * state
    assert counted.uncounted == ()
    # along another axis: 3 slices of (5, 4)
    nodes = [
        node("Scan", ["other", "x"], ["h_end", "y"], body=body, num_scan_inputs=1,
             scan_input_axes=[1])
    ]  # fmt: skip
    stored[0] = floats("other", 5, 8)
    counted = count(saved(tmp_path / "b.onnx", nodes, {"x": [5, 3, 4]}, stored, "y")).count
    assert counted.forward == 3 * 2 * 5 * 8 * (4 + 8)


def test_a_scan_of_slices_that_do_not_fit_is_named(tmp_path):
    body = subgraph(
        "body", [node("Identity", ["x_t"], ["y_t"])], [("x_t", FLOAT)], [("y_t", FLOAT)]
    )
    for inputs, number in ((["x"], 7), (["x", "z"], 2), ([], 1), (["x"], 2**40), (["x"], -1)):
        nodes = [node("Scan", inputs, ["y"], body=body, num_scan_inputs=number)]
        path = saved(tmp_path / "a.onnx", nodes, {"x": [5, 3], "z": [4, 3]}, [], "y")
        assert [u.op for u in count(path).count.uncounted] == ["onnx.Scan"]


@pytest.mark.parametrize("place", ["input", "stored", "inside"])
def test_a_long_row_is_not_followed_number_by_number(tmp_path, monkeypatch, place):
    """The library keeps an entry for each number of a row: of this one it would be sixteen gigabytes."""
    long, asked = 2**28, []
    inputs, stored, first = {"x": [4, 4], "row": [4]}, [floats("w", 4, 8)], "row"
    if place == "input":
        inputs["row"] = [long]
    elif place == "stored":
        far = onnx.TensorProto(name="far", data_type=FLOAT, dims=[long])
        far.data_location = onnx.TensorProto.EXTERNAL
        far.external_data.add(key="location", value="weights.bin")
        stored.append(far)
        first = "far"
    else:
        stored += [ints("size", long), ints("flat", -1)]
        first = "flattened"
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("ConstantOfShape", ["size"], ["made"]),
        node("Reshape", ["made", "flat"], ["flattened"]),
        node("Mul", [first, first], ["twice"]),
    ]
    nodes = nodes if place == "inside" else [nodes[0], nodes[3]]
    infer = onnx.shape_inference.infer_shapes

    def watched(model, **settings):
        asked.append(settings.get("data_prop", False))
        assert not asked[-1]
        return infer(model, **settings)

    path = saved(tmp_path / "a.onnx", nodes, inputs, stored, "a")
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", watched)
    assert count(path).count.forward == 2 * 4 * 4 * 8
    assert asked


def test_an_answer_that_is_no_number_is_no_size():
    from flopcount.onnx_files.folding import _holds_sizes

    assert _holds_sizes(np.array([3, 4]))
    assert not _holds_sizes(np.array([None, 4], dtype=object))
    assert not _holds_sizes(np.array(["3"]))
    assert not _holds_sizes([np.array([3])])


def test_keys_of_earlier_positions_are_multiplied_too(tmp_path):
    # 2 samples, 4 heads of 8, 3 queries, 3 keys now and 5 before: 8 keys each
    shape, before = [2, 4, 3, 8], [2, 4, 5, 8]
    sizes = {"q": shape, "k": shape, "v": shape, "pk": before, "pv": before}
    nodes = [node("Attention", ["q", "k", "v", "", "pk", "pv"], ["y", "nk", "nv"])]
    counted = count(saved(tmp_path / "a.onnx", nodes, sizes, [], "y"), backward=False).count
    assert counted.forward == 2 * 2 * 4 * 3 * 8 * (8 + 8)


def test_quantised_products_and_their_bytes(tmp_path):
    def eight(name, *shape):
        return onnx.numpy_helper.from_array(np.ones(shape, np.uint8), name)

    def one(name):
        return onnx.numpy_helper.from_array(np.array(1, np.float32), name)

    def zero(name):
        return onnx.numpy_helper.from_array(np.array(0, np.uint8), name)

    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearConv", ["q", "s", "z", "w", "s", "z", "s", "z"], ["c"], kernel_shape=[3, 3]),
        node("Reshape", ["c", "flat"], ["rows"]),
        node("QLinearMatMul", ["rows", "s", "z", "m", "s", "z", "s", "z"], ["p"]),
        node("MatMulInteger", ["p", "n", "z", "z"], ["i"]),
        node("Cast", ["i"], ["y"], to=FLOAT),
    ]
    stored = [one("s"), zero("z"), eight("w", 6, 3, 3, 3), eight("m", 6, 10), eight("n", 10, 7)]
    stored.append(ints("flat", 2 * 4 * 4, 6))
    path = saved(tmp_path / "a.onnx", nodes, {"x": [2, 3, 6, 6]}, stored, "y")
    counted = count(path, backward=False).count
    conv, first, second = 2 * (2 * 6 * 4 * 4) * 27, 2 * 32 * 6 * 10, 2 * 32 * 10 * 7
    assert counted.forward == conv + first + second
    assert dict(counted.by_dtype) == {"uint8": conv + first + second}


def test_weights_in_a_file_that_is_not_there_are_not_needed(tmp_path):
    weight = floats("w", 16, 32)
    path = saved(tmp_path / "a.onnx", [node("MatMul", ["x", "w"], ["y"])], {"x": [4, 16]},
                 [weight], "y")  # fmt: skip
    model = onnx.load(str(path))
    onnx.external_data_helper.convert_model_to_external_data(
        model, location="weights.bin", size_threshold=0
    )
    onnx.save(model, path)
    (tmp_path / "weights.bin").unlink()
    counted = count(path)
    assert counted.parameters.total == 16 * 32
    assert counted.count.total == 2 * (2 * 4 * 16 * 32)


def test_choices_within_choices_end(tmp_path):
    inner = subgraph("leaf", [node("Neg", ["x"], ["o"])], [], [("o", FLOAT)])
    for _ in range(40):
        choice = node("If", ["which"], ["o"], then_branch=inner, else_branch=inner)
        if choice.ByteSize() > 100_000:
            break
        inner = subgraph("deeper", [choice], [], [("o", FLOAT)])
    which = onnx.numpy_helper.from_array(np.array(True), "which")
    choice = node("If", ["which"], ["y"], then_branch=inner, else_branch=inner)
    path = saved(tmp_path / "a.onnx", [choice], {"x": [4, 8]}, [which], "y")
    assert count(path).count.total == 0


def test_turns_that_are_alike_are_multiplied(tmp_path):
    # 1000 turns of 1000 turns of (4 x 16) by (16 x 16): walked a few times each
    def turns(*nodes):
        state = onnx.helper.make_tensor_value_info("h", FLOAT, [4, 16])
        out = onnx.helper.make_tensor_value_info("h2", FLOAT, [4, 16])
        flags = [onnx.helper.make_tensor_value_info(n, k, []) for n, k in (("i", INT), ("c", BOOL))]
        go_on = onnx.helper.make_tensor_value_info("c2", BOOL, [])
        same = node("Identity", ["c"], ["c2"])
        return onnx.helper.make_graph([same, *nodes], "b", [*flags, state], [go_on, out])

    inner = turns(node("MatMul", ["h", "w"], ["h2"]))
    outer = turns(node("Loop", ["n", "", "h"], ["h2"], body=inner))
    nodes = [node("Loop", ["n", "", "x"], ["y"], body=outer)]
    stored = [floats("w", 16, 16), scalar("n", 1000)]
    counted = count(saved(tmp_path / "a.onnx", nodes, {"x": [4, 16]}, stored, "y")).count
    once = 2 * 4 * 16 * 16
    assert counted.forward == 10**6 * once
    # the weight's gradient in every turn, the state's in all but the first
    assert counted.backward == (2 * 10**6 - 1) * once


def test_functions_of_the_file_stand_for_their_nodes(tmp_path):
    def file(*functions, call="F"):
        path = saved(tmp_path / "a.onnx", [node(call, ["x", "w"], ["y"], domain="own")],
                     {"x": [4, 16]}, [floats("w", 16, 32)], "y")  # fmt: skip
        model = onnx.load(str(path))
        model.opset_import.append(onnx.helper.make_opsetid("own", 1))
        model.functions.extend(functions)
        onnx.save(model, path)
        return path

    def function(name, *nodes):
        versions = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("own", 1)]
        return onnx.helper.make_function("own", name, ["a", "b"], ["c"], list(nodes), versions)

    counted = count(file(function("F", node("MatMul", ["a", "b"], ["c"])))).count
    assert counted.forward == 2 * 4 * 16 * 32
    with pytest.raises(FlopcountError, match="calls itself"):
        count(file(function("F", node("F", ["a", "b"], ["c"], domain="own"))))
    # each of 40 calls the next one twice: 2**40 nodes
    tower = [
        function(f"F{i}", node(f"F{i + 1}", ["a", "b"], ["m"], domain="own"),
                 node(f"F{i + 1}", ["a", "b"], ["c"], domain="own"))
        for i in range(40)
    ]  # fmt: skip
    tower.append(function("F40", node("MatMul", ["a", "b"], ["c"])))
    with pytest.raises(FlopcountError, match="too many nodes"):
        count(file(*tower, call="F0"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda tensor: tensor.dims.__setitem__(0, -16), r"sizes \[-16, 32\]"),
        (lambda tensor: setattr(tensor, "data_type", 99), "data type 99"),
    ],
)
def test_stored_tensors_that_cannot_be(tmp_path, change, word):
    path = saved(tmp_path / "a.onnx", [node("MatMul", ["x", "w"], ["y"])], {"x": [4, 16]},
                 [floats("w", 16, 32)], "y")  # fmt: skip
    model = onnx.load(str(path))
    change(model.graph.initializer[0])
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FlopcountError, match=word):
        count(path)


def test_numbers_that_do_not_fit_are_named_or_passed_over(tmp_path):
    # a number of turns that is a list, an equation with more letters than axes, too few bytes
    body = subgraph("b", [node("Identity", ["go"], ["go_on"])], [("i", INT), ("go", BOOL)],
                    [("go_on", BOOL)])  # fmt: skip
    short = ints("short", 1, 2)
    short.raw_data = b"abc"
    nodes = [
        node("Loop", ["turns", ""], [], body=body),
        node("Einsum", ["x", "w"], ["y"], equation="abcdefg,hi->a"),
    ]
    stored = [ints("turns", 5, 6), floats("w", 16, 32), short]
    counted = count(saved(tmp_path / "a.onnx", nodes, {"x": [4, 16]}, stored, "y")).count
    assert [unknown.op for unknown in counted.uncounted] == ["onnx.Einsum", "onnx.Loop"]


def test_a_node_without_what_it_needs_is_an_error_of_the_file(tmp_path):
    for nodes in ([node("Loop", [], ["y"], body=subgraph("b", [node("Neg", ["x"], ["z"])], [], []))],
                  [node("Constant", [], []), node("Neg", ["x"], ["y"])]):  # fmt: skip
        with pytest.raises(FlopcountError, match=r"no well-formed graph|contradict each other"):
            count(saved(tmp_path / "a.onnx", nodes, {"x": [4, 16]}, [], "y"))


def fixed(name, array):
    stored = onnx.numpy_helper.from_array(array)
    return onnx.helper.make_node("Constant", [], [name], value=stored)


def test_weights_are_stored_in_many_ways(tmp_path):
    """As constants, inside bodies, and as whole numbers beside their scales."""
    branch = onnx.helper.make_graph(
        [fixed("v", np.zeros((16, 3), np.float32)), node("MatMul", ["h", "v"], ["out"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("out", FLOAT, [4, 3])],
    )
    nodes = [
        fixed("w", np.zeros((8, 16), np.float32)),
        fixed("half", np.array(0.5, np.float32)),
        node("MatMul", ["x", "w"], ["a"]),
        node("Mul", ["a", "half"], ["b"]),
        node("DequantizeLinear", ["q", "scales", "zeros"], ["u"], axis=1),
        node("MatMul", ["b", "u"], ["h"]),
        node("ReduceSum", ["h"], ["sum"], keepdims=0),
        node("Cast", ["sum"], ["which"], to=BOOL),
        node("If", ["which"], ["y"], then_branch=branch, else_branch=branch),
    ]
    stored = [
        onnx.numpy_helper.from_array(np.zeros((16, 16), np.int8), "q"),
        onnx.numpy_helper.from_array(np.zeros(16, np.float32), "scales"),
        onnx.numpy_helper.from_array(np.zeros(16, np.int8), "zeros"),
    ]
    found = count(saved(tmp_path / "m.onnx", nodes, {"x": (4, 8)}, stored, "y"))
    # 8·16, 16·16, and 16·3 in each branch; one half, sixteen scales and their zeros are none
    assert found.parameters.total == 128 + 256 + 2 * 48
    # 2·4·(8·16 + 16·16 + 16·3)
    assert found.count.forward == 3456


def test_a_foreign_librarys_name_is_no_operator_of_onnx(tmp_path):
    made = node("Relu", ["x"], ["y"], domain="com.example")
    path = saved(tmp_path / "m.onnx", [made], {"x": (4, 8)}, [], "y")
    model = onnx.load(path)
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    onnx.save(model, path)
    found = count(path).count
    assert found.coverage.unknown == ("onnx.com.example.Relu",)
    assert found.flop_bounds == (0, None)
