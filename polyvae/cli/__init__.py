"""The command line: settings to API to files. Verbs are imported when used, so that help is quick."""

from polyvae.cli.main import main

__all__ = ["main"]
