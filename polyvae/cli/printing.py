"""What a command prints: the answer on standard output, as text or JSON, all else on standard error."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from polyvae.cli.progress import say
from polyvae.cli.wording import printable
from polyvae.errors import InputError
from polyvae.storage.run_folder import plain


@dataclass(frozen=True, kw_only=True)
class Printing:
    """Settings that every command shares.

    Attributes:
        json: print the answer as one JSON object; progress stays on standard error.
        quiet: no progress, only results, warnings and errors.
        verbose: the settings, the devices and the time of each step, too.
        debug: show the traceback of an error.
    """

    json: bool = False
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"])] = False
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"])] = False
    debug: bool = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise InputError("`quiet` and `verbose` exclude each other. Drop one.")

    def answer(self, numbers: Mapping[str, Any], text: str) -> None:
        """Print what was asked for: the numbers where JSON is wanted, else the text.

        Args:
            numbers: all of it; records, arrays and paths may be among them.
            text: the same for people, of one or more lines.
        """
        print(json_text(numbers) if self.json else printable(text), flush=True)

    def steps(self, *, are_told: bool = True) -> "Steps":
        """The steps of a command, as they begin.

        Args:
            are_told: whether each is named as it begins; where they are short, only `verbose` tells of them.
        """
        return Steps(self, are_told=are_told and not self.quiet)


class Steps:
    """Names each step as it begins; with `verbose` it tells how long the one before took."""

    def __init__(self, printing: Printing, *, are_told: bool) -> None:
        self._printing, self._are_told = printing, are_told
        self._started = self._last = time.perf_counter()
        self._name: str | None = None

    def __call__(self, name: str) -> None:
        """Begin a step."""
        self._end()
        self._name = name
        say(name, quiet=not self._are_told)

    def done(self) -> None:
        """End the last step; with `verbose`, tell the time of all."""
        self._end()
        if self._printing.verbose:
            say(f"all: {time.perf_counter() - self._started:.2f} s", quiet=False)

    def _end(self) -> None:
        now = time.perf_counter()
        if self._printing.verbose and self._name is not None:
            say(f"  {self._name}: {now - self._last:.2f} s", quiet=False)
        self._last, self._name = now, None


def json_text(content: Mapping[str, Any]) -> str:
    """One JSON object; characters that would steer a terminal are written as escapes, which mean the same."""
    text = json.dumps(plain(content), indent=1, ensure_ascii=False)
    return re.sub(r"[^\n]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    letter = match[0]
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]
