"""The FLOP of the known model families from their dimensions alone. Standard library only."""

from flopcount.closed_form.count import count
from flopcount.closed_form.dimensions import Dimensions, DimensionsError
from flopcount.closed_form.inputs import Inputs
from flopcount.closed_form.sheet import ClosedForm, Parameters, Term

__all__ = ["ClosedForm", "Dimensions", "DimensionsError", "Inputs", "Parameters", "Term", "count"]
