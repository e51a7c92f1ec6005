"""What the bundle room raises."""

from flopledger.errors import FlopledgerError


class BundleError(FlopledgerError):
    """A bundle, key or policy that cannot be used: says what was found and how to mend it."""
