"""Forms that the converters of Keras, TensorFlow and scikit-learn write, rebuilt by hand."""

import numpy as np
import pytest

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
    from flopcount.onnx_graph import count_onnx

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
