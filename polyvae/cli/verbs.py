"""The settings of each verb, found in its module."""

from importlib import import_module

from polyvae.cli.main import VERBS


def settings_of(verb: str) -> type:
    """The dataclass from which the flags of a verb are made.

    Args:
        verb: a key of `VERBS`.
    """
    module = import_module(f"polyvae.cli.{VERBS[verb][0]}")
    return next(
        item
        for name, item in vars(module).items()
        if name.endswith("Command") and isinstance(item, type) and item.__module__ == module.__name__
    )
