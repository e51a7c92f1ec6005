"""Ops that multiply no matrices, each with the reason, and what they do a element.

An op is zero by rule because somebody put it into a family here, or because torch itself tags it
as pointwise, as a reduction or as a view. Nothing else is: an op that is in no family is unknown
and is named in the count. Elementwise work is a simple census, listed apart from the total: one
FLOP for each element that an arithmetic op writes (or, for reductions, reads).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rule:
    """How one op is treated.

    Attributes:
        kind: ``formula``, ``zero``, ``decompose`` or ``unknown``.
        name: The registry's name of the op.
        op: The name shown to the reader.
        reason: For zero: why.
        per_element: For zero: elementwise FLOP for each element.
        on_input: Whether elements of the inputs count (reductions) and not those of the result.

    """

    kind: Literal["formula", "zero", "decompose", "unknown"]
    name: str
    op: str
    reason: str = ""
    per_element: int = 0
    on_input: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """A reason and the ops it covers (names without trailing underscore, ``_copy`` or overload)."""

    reason: str
    names: frozenset[str]
    per_element: int = 0
    on_input: bool = False


def _family(reason: str, names: str, per_element: int = 0, *, on_input: bool = False) -> Family:
    return Family(reason, frozenset(names.split()), per_element, on_input)


FAMILIES = (
    _family(
        "moves or creates data",
        """_conj_physical _copy_from _copy_from_and_resize _chunk_cat _efficientzerotensor
        _empty_affine_quantized _empty_per_channel_affine_quantized _lazy_clone _mkldnn_reshape
        _mkldnn_transpose _pack_padded_sequence _pin_memory _reshape _reshape_alias _resize_output
        _stack _to_copy _to _unsafe_index _unsafe_index_put _unsafe_masked_index
        _unsafe_masked_index_put_accumulate _unsafe_view _index_put_impl alias arange as_strided
        shallow_copy_data
        as_strided_scatter block_diag cat channel_shuffle clone col2im col_indices ccol_indices
        complex constant_pad_nd copy crow_indices row_indices detach diag_embed diagonal
        diagonal_backward diagonal_scatter empty empty_like empty_permuted empty_quantized
        empty_strided expand eye fft_fftfreq fft_rfftfreq fill flip from_file full full_like gather
        im2col index index_copy index_fill index_put index_select indices _indices _values values
        lift lift_fresh linspace logspace masked_fill masked_scatter masked_scatter_backward
        masked_select narrow new_empty new_empty_strided new_full new_ones new_zeros nonzero
        nonzero_static ones ones_like permute pixel_shuffle pixel_unshuffle polar put range
        reflection_pad1d reflection_pad2d reflection_pad3d reflection_pad1d_backward
        reflection_pad2d_backward reflection_pad3d_backward repeat repeat_interleave
        replication_pad1d replication_pad2d replication_pad3d replication_pad1d_backward
        replication_pad2d_backward replication_pad3d_backward resize resize_as roll rot90
        scalar_tensor scatter select select_backward select_scatter set slice slice_backward
        slice_scatter split split_with_sizes squeeze stack t take to_mkldnn to_padded_tensor
        transpose tril tril_indices triu triu_indices unbind unfold unfold_backward unsafe_split
        unsafe_split_with_sizes unsqueeze view view_as_complex view_as_real view_as _neg_view _conj
        _fw_primal _make_dual zero zeros zeros_like _mkldnn_reorder mkldnn_reorder_conv2d_weight
        mkldnn_reorder_conv3d_weight _cudnn_rnn_flatten_weight _new_zeros_with_same_feature_meta
        _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward copy_sparse_to_sparse
        bartlett_window blackman_window hamming_window hann_window kaiser_window lu_unpack
        _reshape_from_tensor _shape_as_tensor _test_parallel_materialize _has_same_storage_numel
        _convert_weight_to_int4pack _convert_weight_to_int4pack_for_cpu _dyn_quant_pack_4bit_weight
        _cslt_compress _sparse_semi_structured_tile _sparse_semi_structured_apply
        _sparse_semi_structured_apply_dense _to_sparse_semi_structured _make_dep_token
        _make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor int_repr""",
    ),
    _family(
        "asks about a tensor, asserts or handles memory",
        """_assert_async _assert_scalar _assert_tensor_metadata _dimI _dimV _functional_assert_async
        _functional_assert_scalar _functional_sym_constrain_range
        _functional_sym_constrain_range_for_size _fused_sdp_choice _linalg_check_errors
        _local_scalar_dense item _nnz _print _use_cudnn_ctc_loss _use_miopen_ctc_loss
        _validate_compressed_sparse_indices allclose dense_dim equal is_coalesced is_pinned
        is_same_size is_set_to q_per_channel_axis q_per_channel_scales q_per_channel_zero_points
        q_scale q_zero_point qscheme record_stream sparse_dim sym_constrain_range
        sym_constrain_range_for_size sym_size sym_stride sym_numel sym_storage_offset
        sym_is_contiguous size stride numel is_contiguous is_strides_like_format dim
        is_non_overlapping_and_dense storage_offset _is_all_true _is_any_true
        _cslt_sparse_mm_search _fill_mem_eff_dropout_mask _version _debug_has_internal_overlap
        _amp_foreach_non_finite_check_and_unscale _amp_update_scale _foobar
        _cudnn_init_dropout_state _has_torch_function is_contiguous_or_false
        _nested_compute_contiguous_strides_offsets _nested_from_padded_and_nested_example
        _nested_get_jagged_dummy _nested_get_lengths _nested_get_max_seqlen _nested_get_min_seqlen
        _nested_get_offsets _nested_get_ragged_idx _nested_get_values _nested_tensor_size
        _nested_tensor_storage_offsets _nested_tensor_strides""",
    ),
    _family(
        "moves or creates nested, sparse or quantised data",
        """_coalesce _coalesced _convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo
        _nested_from_padded _nested_from_padded_tensor _nested_select_backward
        _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned
        _nested_tensor_from_tensor_list _nested_view_from_buffer _nested_view_from_jagged
        _sparse_broadcast_to _sparse_compressed_tensor_with_dims _sparse_coo_tensor_with_dims
        _sparse_coo_tensor_with_dims_and_tensors _sparse_mask_projection _spdiags _to_dense
        _to_sparse _to_sparse_bsc _to_sparse_bsr _to_sparse_csc _to_sparse_csr resize_as_sparse
        sparse_compressed_tensor sparse_coo_tensor sparse_mask sparse_resize
        sparse_resize_and_clear""",
    ),
    _family(
        "draws random numbers",
        """_fused_dropout _philox_key_fold_in _philox_key_split _philox_normal _philox_randint
        _philox_uniform _sample_dirichlet _standard_gamma _standard_gamma_grad
        _dirichlet_grad bernoulli binomial cauchy exponential geometric log_normal
        multinomial native_dropout native_dropout_backward normal normal_functional
        poisson rand rand_like randint randint_like randn randn_like random randperm
        uniform _masked_scale rrelu_with_noise rrelu_with_noise_backward
        rrelu_with_noise_functional""",
        1,
    ),
    _family(
        "looks rows up or adds rows up",
        """_embedding_bag _embedding_bag_backward _embedding_bag_dense_backward
        _embedding_bag_forward_only
        _embedding_bag_per_sample_weights_backward embedding embedding_dense_backward
        embedding_renorm index_add
        index_reduce scatter_add scatter_reduce segment_reduce _segment_reduce_backward""",
    ),
    _family(
        "sorts, searches or counts",
        """_unique _unique2 _histogramdd_bin_edges _histogramdd_from_bin_cts
        _histogramdd_from_bin_tensors bincount bucketize hash_tensor histc histogram isin kthvalue
        median mode nanmedian searchsorted sort topk unique_consecutive unique_dim
        unique_dim_consecutive argsort _aminmax cummax cummin _cummax_helper _cummin_helper""",
    ),
    _family(
        "softmax: maximum, exponential, sum and division a element",
        """_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data _masked_softmax
        _masked_softmax_backward _safe_softmax log_softmax softmax
        _nested_tensor_softmax_with_shape _sparse_softmax _sparse_softmax_backward_data
        _sparse_log_softmax _sparse_log_softmax_backward_data _logcumsumexp logcumsumexp""",
        4,
    ),
    _family(
        "normalises: mean, variance, scale and shift a element",
        """_batch_norm_no_update _batch_norm_with_update _batch_norm_with_update_functional
        _native_batch_norm_legit _native_batch_norm_legit_functional
        _native_batch_norm_legit_no_training _fused_rms_norm _fused_rms_norm_backward
        _weight_norm_interface _weight_norm_interface_backward batch_norm_backward
        batch_norm_backward_elemt batch_norm_backward_reduce batch_norm_elemt
        batch_norm_gather_stats batch_norm_gather_stats_with_counts batch_norm_stats
        batch_norm_update_stats cudnn_batch_norm cudnn_batch_norm_backward miopen_batch_norm
        miopen_batch_norm_backward native_batch_norm native_batch_norm_backward native_group_norm
        native_group_norm_backward native_layer_norm native_layer_norm_backward
        quantized_batch_norm renorm _transform_bias_rescale_qkv""",
        5,
        on_input=True,
    ),
    _family(
        "pools or resamples with a fixed small stencil",
        """_adaptive_avg_pool2d _adaptive_avg_pool2d_backward _adaptive_avg_pool3d
        _adaptive_avg_pool3d_backward adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
        adaptive_avg_pool3d_backward adaptive_max_pool2d adaptive_max_pool2d_backward
        adaptive_max_pool3d adaptive_max_pool3d_backward avg_pool1d avg_pool2d avg_pool2d_backward
        avg_pool3d avg_pool3d_backward fractional_max_pool2d fractional_max_pool2d_backward
        fractional_max_pool3d fractional_max_pool3d_backward max_pool2d_backward
        max_pool2d_with_indices max_pool2d_with_indices_backward max_pool3d_with_indices
        max_pool3d_with_indices_backward max_unpool2d max_unpool3d mkldnn_adaptive_avg_pool2d
        mkldnn_adaptive_avg_pool2d_backward mkldnn_max_pool2d mkldnn_max_pool2d_backward
        mkldnn_max_pool3d mkldnn_max_pool3d_backward quantized_max_pool1d quantized_max_pool2d
        quantized_max_pool3d affine_grid_generator cudnn_affine_grid_generator
        cudnn_affine_grid_generator_backward cudnn_grid_sampler cudnn_grid_sampler_backward
        _grid_sampler_2d_cpu_fallback _grid_sampler_2d_cpu_fallback_backward grid_sampler_2d
        grid_sampler_2d_backward grid_sampler_3d grid_sampler_3d_backward _upsample_bicubic2d_aa
        _upsample_bicubic2d_aa_backward _upsample_bilinear2d_aa _upsample_bilinear2d_aa_backward
        _upsample_lanczos2d_aa _upsample_lanczos2d_aa_backward _upsample_nearest_exact1d
        _upsample_nearest_exact1d_backward _upsample_nearest_exact2d
        _upsample_nearest_exact2d_backward _upsample_nearest_exact3d
        _upsample_nearest_exact3d_backward upsample_bicubic2d upsample_bicubic2d_backward
        upsample_bilinear2d upsample_bilinear2d_backward upsample_linear1d
        upsample_linear1d_backward upsample_nearest1d upsample_nearest1d_backward
        upsample_nearest2d upsample_nearest2d_backward upsample_nearest3d
        upsample_nearest3d_backward upsample_trilinear3d upsample_trilinear3d_backward""",
        1,
    ),
    _family(
        "compares predictions with targets a element",
        """_ctc_loss _ctc_loss_backward _cudnn_ctc_loss miopen_ctc_loss binary_cross_entropy
        binary_cross_entropy_backward binary_cross_entropy_with_logits huber_loss
        huber_loss_backward mse_loss mse_loss_backward multi_margin_loss multi_margin_loss_backward
        multilabel_margin_loss_backward multilabel_margin_loss_forward nll_loss2d_backward
        nll_loss2d_forward nll_loss_backward nll_loss_forward smooth_l1_loss
        smooth_l1_loss_backward soft_margin_loss soft_margin_loss_backward dist""",
        1,
        on_input=True,
    ),
    _family(
        "quantises or dequantises a element",
        """_fake_quantize_learnable_per_channel_affine
        _fake_quantize_learnable_per_channel_affine_backward
        _fake_quantize_learnable_per_tensor_affine
        _fake_quantize_learnable_per_tensor_affine_backward
        _fake_quantize_per_tensor_affine_cachemask_tensor_qparams dequantize
        fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask
        _fused_moving_avg_obs_fq_helper _fused_moving_avg_obs_fq_helper_functional
        quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic""",
        1,
    ),
    _family(
        "arithmetic on single elements",
        """_add_relu _compute_linear_combination _prelu_kernel _prelu_kernel_backward
        _thnn_fused_gru_cell _thnn_fused_gru_cell_backward _thnn_fused_lstm_cell
        _thnn_fused_lstm_cell_backward _thnn_fused_lstm_cell_backward_impl
        abs copysign cumprod cumsum elu_backward eq floor_divide gcd ge gelu glu
        glu_backward glu_backward_jvp glu_jvp gt hardshrink_backward hardsigmoid_backward hardswish
        hardswish_backward hardtanh_backward heaviside lcm le leaky_relu_backward linalg_cross
        log_sigmoid_backward log_sigmoid_forward lt mish ne softplus_backward softshrink_backward
        threshold trace __and__ __or__ __xor__ __lshift__ __rshift__ __irshift__
        __ilshift__ __iand__ __ior__ __ixor__
        infinitely_differentiable_gelu_backward""",
        1,
    ),
    _family(
        "reduces elements",
        """_linalg_vector_norm native_norm _sparse_sum _sparse_sum_backward _sparse_csr_prod
        _sparse_csr_sum _nested_sum_backward linalg_vector_norm norm sum mean var std prod amax amin
        argmax argmin any all logsumexp max min nansum var_mean std_mean aminmax count_nonzero""",
        1,
        on_input=True,
    ),
    _family(
        "updates parameters a element",
        """_fused_adagrad _fused_adam _fused_adamw _fused_sgd""",
        1,
        on_input=True,
    ),
    _family(
        "exists for torch's own tests",
        """_test_autograd_multiple_dispatch _test_autograd_multiple_dispatch_view
        _test_functorch_fallback _test_optional_filled_intlist _test_optional_floatlist
        _test_optional_intlist _test_warn_in_autograd""",
    ),
)

BITSANDBYTES = (
    _family(
        "quantises or dequantises a element",
        """dequantize_4bit dequantize_blockwise int8_double_quant int8_mm_dequant
        int8_vectorwise_dequant int8_vectorwise_quant quantize_4bit quantize_blockwise""",
        1,
    ),
    _family(
        "updates parameters a element",
        "optimizer_update_32bit optimizer_update_8bit_blockwise",
        1,
        on_input=True,
    ),
)

NAMESPACES = {
    "c10d": "communicates between ranks",
    "_c10d_functional": "communicates between ranks",
    "_c10d_functional_autograd": "communicates between ranks",
    "_dtensor": "communicates between ranks",
    "fsdp": "moves or creates data",
    "profiler": "asks about a tensor, asserts or handles memory",
    "prim": "asks about a tensor, asserts or handles memory",
    "_test": "exists for torch's own tests",
    "export": "asks about a tensor, asserts or handles memory",
    "debugprims": "asks about a tensor, asserts or handles memory",
    "rngprims": "draws random numbers",
    "inductor_prims": "draws random numbers",
    "streams": "asks about a tensor, asserts or handles memory",
}
"""Namespaces of which no op multiplies matrices."""

TORCHVISION = _family(
    "pools or resamples with a fixed small stencil",
    """nms roi_align _roi_align_backward roi_pool _roi_pool_backward ps_roi_align
    _ps_roi_align_backward ps_roi_pool _ps_roi_pool_backward interpolate""",
)

PRIMS_WITH_PRODUCTS = frozenset({"fft_c2c", "fft_c2r", "fft_r2c", "svd"})

_BY_NAME = {name: family for family in FAMILIES for name in family.names}


def find_family(base: str) -> Family | None:
    """The family of an ``aten`` op's bare name; variants share the family of their stem."""
    for candidate in _stems(base):
        family = _BY_NAME.get(candidate)
        if family is not None:
            return family
    if base.startswith("_foreach_"):
        inner = find_family(base.removeprefix("_foreach_").rstrip("_"))
        return inner or _BY_NAME["gelu"] if base.rstrip("_") != "_foreach_mm" else None
    return None


def _stems(base: str) -> Iterable[str]:
    yield base
    stem = base.removesuffix("_")
    yield stem
    yield stem.removesuffix("_copy")


@dataclass(frozen=True, slots=True)
class Traits:
    """What torch itself says of an op.

    Attributes:
        composite: Whether it is written in terms of other ops.
        view: Whether its result shares memory with an argument.
        tags: Tags of any of its overloads: torch tags ``add.Tensor`` and forgets ``add.out``.

    """

    composite: bool
    view: bool
    tags: frozenset[str]


def zero_rule(name: str, op: str, traits: Traits) -> Rule:
    """Zero with its reason, or unknown."""
    namespace, _, base = name.partition("::")
    if namespace in NAMESPACES:
        return Rule("zero", name, op, NAMESPACES[namespace])
    if namespace == "torchvision" and base in TORCHVISION.names:
        return Rule("zero", name, op, TORCHVISION.reason)
    if namespace == "bitsandbytes":
        known = next((family for family in BITSANDBYTES if base in family.names), None)
        if known is not None:
            return Rule("zero", name, op, known.reason, known.per_element, on_input=known.on_input)
    if namespace not in {"aten", "prims"}:
        return Rule("unknown", name, op)
    family = find_family(base)
    if family is not None:
        return Rule("zero", name, op, family.reason, family.per_element, on_input=family.on_input)
    if namespace == "prims" and base not in PRIMS_WITH_PRODUCTS:
        return Rule("zero", name, op, "arithmetic on single elements", 1)
    if "pointwise" in traits.tags:
        return Rule("zero", name, op, "arithmetic on single elements", 1)
    if "reduction" in traits.tags:
        return Rule("zero", name, op, "reduces elements", 1, on_input=True)
    if traits.view:
        return Rule("zero", name, op, "moves or creates data")
    return Rule("unknown", name, op)
