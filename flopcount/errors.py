"""Everything that flopcount raises on purpose."""


class FlopcountError(Exception):
    """Base of this pillar's errors. The message says what was wrong, found, and how to mend it."""


class CountError(FlopcountError):
    """A model could not be counted: it raised, or no way of tracing it worked."""


class FormulaError(FlopcountError):
    """A registered formula is malformed or returned something that is not a whole number."""


class ConventionError(FlopcountError):
    """The convention is unknown, or the model lacks a fact that its rule needs."""


class NotPolynomialError(FlopcountError):
    """The count is not a polynomial of the probed sizes; the message says where it departs."""
