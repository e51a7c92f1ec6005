"""Writes down what the installed torch has: each op once, with what torch says of it.

    python tests/flopcount/list_ops.py     # -> tests/flopcount/ops/torch-<version>.txt

A line is an op's name and its traits (composite, view, pointwise, reduction). The lists of several
versions stand beside each other, so that one environment checks the ops of all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from flopcount.formulas.zero import Traits
from flopcount.rules import traits_of

FOLDER = Path(__file__).parent / "ops"
TAGS = ("pointwise", "reduction")


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


def described(traits):
    """Traits as words."""
    words = [tag for tag in TAGS if tag in traits.tags]
    words += ["composite"] * traits.composite + ["view"] * traits.view
    return " ".join(sorted(words))


def listed(path):
    """Yield the ops of one version: name and traits."""
    for line in path.read_text(encoding="utf-8").splitlines():
        name, *words = line.split()
        tags = frozenset(words) & frozenset(TAGS)
        yield name, Traits("composite" in words, "view" in words, tags)


def write():
    """Write down the ops of the installed torch; an op whose overloads differ has several lines."""
    lines = {f"{op._schema.name} {described(traits_of(op))}".strip() for op in aten_ops()}
    version = torch.__version__.partition("+")[0]
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"torch-{version}.txt"
    path.write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path.name}: {len(lines)} lines\n")


if __name__ == "__main__":
    write()
