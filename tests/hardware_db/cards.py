"""A part that a user might write, for the tests to spoil."""

from pathlib import Path

from hardware_db.database import Database

CARD = """
id = "acme-one"
name = "Acme One"
vendor = "Acme"
architecture = "hopper_gh100"
form_factor = "PCIe"
status = "shipping"
released = "2024-05"
source = "acme-sheet"

[[sources]]
id = "acme-sheet"
title = "Acme One data sheet"
publisher = "Acme"
tier = "datasheet"
accessed = "2026-01-31"

[device]
sold_as = "card"
units = 100

[clocks]
matrix_mhz = 1000
vector_mhz = 1000
max_mhz = 1200

[memory]
gb = 64
kind = "HBM3"
bus_bits = 4096
data_rate_gtps = 5.0
bandwidth_gb_per_s = 2560

[power]
tdp_w = 300

[identification]
models = ["acme one"]
exact = ["ACME One 64GB"]

[peaks]
locator = "table 1"
figures = [
  { dtype = "bf16", engine = "matrix", tflops = 409.6, printed = "819.2", \
printed_as = "with sparsity", clock = "matrix" },
  { dtype = "fp8", engine = "matrix", tflops = 819.2, printed = "819.2", \
printed_as = "dense", clock = "matrix" },
]
"""


def load(folder: Path, text: str) -> Database:
    (folder / "acme-one.toml").write_text(text)
    return Database.load([folder])
