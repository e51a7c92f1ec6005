"""Every op of the installed torch is counted, zero with a reason, or a known unknown."""

import torch

from flopcount.dispatch import resolve
from flopcount.formulas.known_unknown import KNOWN_UNKNOWN


def aten_ops():
    """Yield each overload of the aten and prims namespaces that can be called."""
    for name in sorted({op.split(".")[0] for op in torch._C._dispatch_get_all_op_names()}):
        namespace, _, base = name.partition("::")
        if namespace not in ("aten", "prims"):
            continue
        packet = getattr(getattr(torch.ops, namespace), base, None)
        for overload in packet.overloads() if packet is not None else ():
            try:
                op = getattr(packet, overload)
                torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CPU")
            except (AttributeError, RuntimeError):
                continue  # listed for TorchScript only
            yield op


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


def test_ops_that_torch_misses_have_formulas():
    # the product-bearing ops that torch's own counter knows no formula for
    missed = [
        "_grouped_mm",
        "_scaled_grouped_mm",
        "_scaled_grouped_mm_v2",
        "_scaled_mm_v2",
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
