"""Every op of torch is counted, zero with a reason, or a known unknown: of this torch and others."""

import pytest
import torch

from flopcount.formulas.known_unknown import KNOWN_UNKNOWN
from flopcount.rules import resolve, rule_for, traits_of
from tests.flopcount.list_ops import FOLDER, aten_ops, described, listed


def test_no_op_is_without_a_rule():
    strays = set()
    seen = 0
    for op in aten_ops():
        seen += 1
        rule = resolve(op)
        if rule.kind == "unknown" and rule.name not in KNOWN_UNKNOWN:
            strays.add(rule.name)
        if rule.kind == "zero":
            assert rule.reason
    assert strays == set()
    assert seen > 2500


def test_the_lists_cover_three_versions_and_this_one_where_it_is_listed():
    lists = {path.stem: path for path in FOLDER.glob("torch-*.txt")}
    assert {"torch-2.13.0", "torch-2.14.1", "torch-2.15.0"} <= set(lists)
    here = lists.get("torch-" + torch.__version__.partition("+")[0])
    if here is None:
        pytest.skip(f"torch {torch.__version__} is not listed: python tests/flopcount/list_ops.py")
    found = {(op._schema.name, described(traits_of(op))) for op in aten_ops()}
    known = {(name, described(traits)) for name, traits in listed(here)}
    assert known <= found
    # torch's compiler adds prims of its own when it is imported; aten is the same from the start.
    assert {name for name, _ in found - known if not name.startswith("prims::")} == set()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("torch-*.txt")), ids=lambda path: path.stem)
def test_no_listed_op_of_any_version_is_without_a_rule(path):
    # by name and by what that version says of the op, so that one torch checks the others' ops
    rules = [rule_for(name, lambda traits=traits: traits) for name, traits in listed(path)]
    assert len(rules) > 1700
    strays = {rule.name for rule in rules if rule.kind == "unknown"} - set(KNOWN_UNKNOWN)
    assert strays == set()
    assert all(rule.reason for rule in rules if rule.kind == "zero")


def test_what_version_2_14_added_is_known():
    old, new = (dict(listed(FOLDER / f"torch-{v}.txt")) for v in ("2.13.0", "2.14.1"))
    added = {name: rule_for(name, lambda name=name: new[name]).kind for name in set(new) - set(old)}
    assert added == {
        "aten::linalg_matrix_sqrth": "unknown",  # goes through an eigenvalue decomposition
        "aten::linalg_polar": "unknown",  # goes through a singular value decomposition
        "aten::shallow_copy_data_": "zero",  # another tensor's memory, nothing computed
    }


def test_what_version_2_15_added_is_known():
    old, new = (dict(listed(FOLDER / f"torch-{v}.txt")) for v in ("2.14.1", "2.15.0"))
    added = {name: rule_for(name, lambda name=name: new[name]).kind for name in set(new) - set(old)}
    assert added == {
        "aten::_cudnn_attention_forward_no_dropout_inplace": "formula",
        "aten::_philox_randint": "zero",
        "aten::_philox_randint_": "zero",
        "aten::_scaled_addmm": "formula",
        "aten::_scaled_addmm_": "formula",
    }


def test_ops_that_torch_misses_have_formulas():
    # the product-bearing ops that torch's own counter knows no formula for
    missed = [
        "_grouped_mm",
        "_scaled_grouped_mm",
        "_scaled_grouped_mm_v2",
        "_scaled_mm_v2",
        "_scaled_addmm",
        "_int_mm",
        "_weight_int8pack_mm",
        "_weight_int4pack_mm",
        "_cslt_sparse_mm",
        "_sparse_semi_structured_mm",
        "_cudnn_rnn",
        "mkldnn_rnn_layer",
        "mkldnn_linear",
        "miopen_rnn",
        "cudnn_convolution_relu",
        "mv",
        "dot",
        "addmv",
        "addbmm",
        "_trilinear",
        "_cdist_forward",
        "_fft_c2c",
        "_fft_r2c",
        "_fft_c2r",
        "_native_multi_head_attention",
        "_sparse_mm",
        "_scaled_dot_product_fused_attention_overrideable",
        "_scaled_dot_product_flash_attention_for_cpu",
    ]
    for name in missed:
        packet = getattr(torch.ops.aten, name, None)
        if packet is None:
            continue  # another torch
        op = getattr(packet, packet.overloads()[0])
        assert resolve(op).kind in ("formula", "decompose"), name


def test_an_op_outside_every_table_is_unknown():
    library = torch.library.Library("flopcount_test_stray", "DEF")
    library.define("stray(Tensor x) -> Tensor")
    try:
        assert resolve(torch.ops.flopcount_test_stray.stray.default).kind == "unknown"
    finally:
        library._destroy()
