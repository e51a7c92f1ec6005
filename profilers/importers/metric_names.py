"""What exporters call things: DCGM's two generations of names, and nvidia_gpu_exporter's.

The unit follows DCGM's field number, not the word in the name: ``GPU_UTIL_RATIO`` (203) is still
percent, the profiling ratios (1001 and on) are 0 to 1.
Sources: DCGM's ``dcgm_fields.h`` (fields and aliases), dcgm-exporter's default counters.
"""

from collections.abc import Mapping

_FIELDS: tuple[tuple[int, str, str, tuple[str, ...]], ...] = (
    # field, our signal, unit, names after DCGM_FI_
    (100, "sm_clock_mhz", "MHz", ("DEV_SM_CLOCK",)),
    (101, "memory_clock_mhz", "MHz", ("DEV_MEM_CLOCK",)),
    (112, "event_reasons", "mask", ("DEV_CLOCK_THROTTLE_REASONS", "DEV_CLOCKS_EVENT_REASONS")),
    (140, "memory_temperature_c", "C", ("DEV_MEMORY_TEMP",)),
    (150, "temperature_c", "C", ("DEV_GPU_TEMP",)),
    (155, "power_mw", "W", ("DEV_POWER_USAGE", "DEV_BOARD_POWER_WATTS")),
    (156, "energy_mj", "mJ", ("DEV_TOTAL_ENERGY_CONSUMPTION",)),
    (157, "power_mw", "W", ("DEV_POWER_USAGE_INSTANT",)),
    (163, "power_limit_mw", "W", ("DEV_ENFORCED_POWER_LIMIT",)),
    (203, "gpu_util_permille", "%", ("DEV_GPU_UTIL", "DEV_GPU_UTIL_RATIO")),
    (204, "memory_util_permille", "%", ("DEV_MEM_COPY_UTIL", "DEV_MEM_COPY_UTIL_RATIO")),
    (252, "memory_used_bytes", "MiB", ("DEV_FB_USED",)),
    (310, "ecc_corrected", "count", ("DEV_ECC_SBE_VOL_TOTAL",)),
    (311, "ecc_uncorrected", "count", ("DEV_ECC_DBE_VOL_TOTAL",)),
    (
        1001,
        "graphics_activity_permille",
        "ratio",
        ("PROF_GR_ENGINE_ACTIVE", "PROF_GR_ENGINE_UTIL_RATIO"),
    ),
    (1002, "sm_activity_permille", "ratio", ("PROF_SM_ACTIVE", "PROF_SM_UTIL_RATIO")),
    (1003, "sm_occupancy_permille", "ratio", ("PROF_SM_OCCUPANCY", "PROF_SM_OCCUPANCY_RATIO")),
    (
        1004,
        "tensor_activity_permille",
        "ratio",
        ("PROF_PIPE_TENSOR_ACTIVE", "PROF_TENSOR_UTIL_RATIO"),
    ),
    (1005, "dram_activity_permille", "ratio", ("PROF_DRAM_ACTIVE", "PROF_DRAM_UTIL_RATIO")),
    (1006, "fp64_activity_permille", "ratio", ("PROF_PIPE_FP64_ACTIVE", "PROF_FP64_UTIL_RATIO")),
    (1007, "fp32_activity_permille", "ratio", ("PROF_PIPE_FP32_ACTIVE", "PROF_FP32_UTIL_RATIO")),
    (1008, "fp16_activity_permille", "ratio", ("PROF_PIPE_FP16_ACTIVE", "PROF_FP16_UTIL_RATIO")),
    (
        1013,
        "imma_activity_permille",
        "ratio",
        ("PROF_PIPE_TENSOR_IMMA_ACTIVE", "PROF_IMMA_UTIL_RATIO"),
    ),
    (
        1014,
        "hmma_activity_permille",
        "ratio",
        ("PROF_PIPE_TENSOR_HMMA_ACTIVE", "PROF_HMMA_UTIL_RATIO"),
    ),
    (
        1015,
        "dfma_activity_permille",
        "ratio",
        ("PROF_PIPE_TENSOR_DFMA_ACTIVE", "PROF_DFMA_UTIL_RATIO"),
    ),
    (1084, "sm_cycles_elapsed", "cycles", ("PROF_SM_CYCLES_ELAPSED_TOTAL",)),
    (1085, "sm_cycles_active", "cycles", ("PROF_SM_CYCLES_ACTIVE_TOTAL",)),
    (1086, "mma_cycles_active", "cycles", ("PROF_MMA_CYCLES_ACTIVE_TOTAL",)),
    (1087, "dmma_cycles_active", "cycles", ("PROF_DMMA_CYCLES_ACTIVE_TOTAL",)),
    (1088, "hmma_cycles_active", "cycles", ("PROF_HMMA_CYCLES_ACTIVE_TOTAL",)),
    (1089, "imma_cycles_active", "cycles", ("PROF_IMMA_CYCLES_ACTIVE_TOTAL",)),
    (1090, "dfma_cycles_active", "cycles", ("PROF_DFMA_CYCLES_ACTIVE_TOTAL",)),
    (1093, "integer_cycles_active", "cycles", ("PROF_INT_CYCLES_ACTIVE_TOTAL",)),
    (1094, "fp64_cycles_active", "cycles", ("PROF_FP64_CYCLES_ACTIVE_TOTAL",)),
    (1095, "fp32_cycles_active", "cycles", ("PROF_FP32_CYCLES_ACTIVE_TOTAL",)),
    (1096, "fp16_cycles_active", "cycles", ("PROF_FP16_CYCLES_ACTIVE_TOTAL",)),
)

_EXPORTER = {
    # nvidia_gpu_exporter: nvidia-smi's fields in base units
    "nvidia_smi_utilization_gpu_ratio": ("gpu_util_permille", "ratio"),
    "nvidia_smi_utilization_memory_ratio": ("memory_util_permille", "ratio"),
    "nvidia_smi_power_draw_watts": ("power_mw", "W"),
    "nvidia_smi_power_draw_average_watts": ("power_average_mw", "W"),
    "nvidia_smi_enforced_power_limit_watts": ("power_limit_mw", "W"),
    "nvidia_smi_clocks_current_sm_clock_hz": ("sm_clock_mhz", "Hz"),
    "nvidia_smi_clocks_current_memory_clock_hz": ("memory_clock_mhz", "Hz"),
    "nvidia_smi_memory_used_bytes": ("memory_used_bytes", "B"),
    "nvidia_smi_temperature_gpu": ("temperature_c", "C"),
    "nvidia_smi_temperature_memory": ("memory_temperature_c", "C"),
}

DCGM_IDS: Mapping[int, tuple[str, str]] = {field: (s, unit) for field, s, unit, _ in _FIELDS}
"""DCGM field number to our signal and its unit."""

METRICS: Mapping[str, tuple[str, str]] = {
    **{f"DCGM_FI_{name}": (s, unit) for _, s, unit, names in _FIELDS for name in names},
    **_EXPORTER,
}
"""Metric name to our signal and the unit of its figures."""

UNDEFINED_UNDER_MIG = frozenset({"gpu_util_permille", "memory_util_permille"})
"""Gauges that exporters write as 0 for a partitioned device."""
