"""The error of a command line, or run file, that asks for what cannot be done."""

from polyvae.errors import InputError


class UsageError(InputError):
    """A mistake in the words or the run file; what is in the input files does not matter."""
