"""The errors and warnings that polyvae raises on purpose.

Everything a user can cause and mend is an `InputError`: its message names the file, frame or argument, what was
expected, what was found and what to do. The command line prints such a message without a traceback; any other
exception is a bug. `InputError` is a `ValueError`, so code that catches the built-in keeps working.
"""


class InputError(ValueError):
    """Input that cannot be used as it is; the message says how to mend it."""


class OutputError(InputError):
    """A file or folder that cannot be written: no room, no permission, no such folder; the message says which."""


class MissingDependencyError(ImportError):
    """An optional library is needed; the message names the extra that installs it."""


class TrainingError(RuntimeError):
    """Training ended without a usable model, for example on a loss that is not finite."""


class PolyvaeWarning(UserWarning):
    """Something a user should know: what happened and what to do about it."""
