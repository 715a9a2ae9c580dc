"""`polyvae completion`: a script that lets a shell complete commands and flags with the tab key."""

import contextlib
import io
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from polyvae.cli.main import VERBS
from polyvae.cli.parsing import parse
from polyvae.cli.verbs import settings_of
from polyvae.errors import MissingDependencyError


@dataclass(frozen=True, kw_only=True)
class CompletionCommand:
    """A script for your shell, on standard output, after which the tab key completes commands, flags and their values.

    The script knows the flags of this version of polyvae; write it again after an update.

    Attributes:
        shell: whose script.
        debug: show the traceback of an error.
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    debug: bool = False


def command(words: list[str]) -> int:
    """Run `polyvae completion`."""
    settings = parse(CompletionCommand, words, verb="completion")
    print(completion_script(settings.shell))
    return 0


def completion_script(shell: str) -> str:
    """The script for a shell.

    Args:
        shell: "bash", "zsh" or "fish".

    Raises:
        MissingDependencyError: if the version of tyro that is installed knows no such shell.
    """
    kinds = tuple(
        Annotated[settings_of(verb), tyro.conf.subcommand(name=verb, description=words)]
        for verb, (_, words) in VERBS.items()
    )
    every: Any = Union[kinds]  # noqa: UP007 - made of a tuple
    script, said = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(script), contextlib.redirect_stderr(said):
            tyro.cli(every, args=["--tyro-print-completion", shell], prog="polyvae")
    except (SystemExit, AssertionError) as ended:
        if isinstance(ended, AssertionError) or ended.code:
            raise MissingDependencyError(
                f"The version of tyro that is installed writes no script for {shell}; `pip install --upgrade tyro`."
            ) from ended
    return script.getvalue().strip()
