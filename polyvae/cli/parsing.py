"""Words and TOML to settings: both are generated from the same dataclasses, and flags win over the file.

A key of the run file is turned into the flag of the same name and put before the user's own flags. So both
know the same names, are checked alike, and the last word is the command line's.
"""

import contextlib
import dataclasses
import io
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from polyvae.cli.examples import examples_of
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.cli.run_file import PATHS, seen_from, settings_text
from polyvae.cli.usage import UsageError
from polyvae.cli.wording import has_color, table_of
from polyvae.errors import InputError

Command = TypeVar("Command")


def parse(kind: type[Command], words: Sequence[str], *, verb: str) -> Command:
    """The settings of a command from its words, and from the run file that `--config` names.

    Args:
        kind: the dataclass of the command.
        words: words after the verb.
        verb: for the usage line.

    Raises:
        UsageError: if the run file cannot be read or holds an unknown key, or settings contradict each other.
        SystemExit: on a wrong word, with code 2, or after `--help`, with code 0.
    """
    words = list(words)
    content: dict[str, Any] = {}
    if any(field.name == "config" for field in dataclasses.fields(kind)):  # type: ignore[arg-type]
        path, others = _config_path(words)
        if path is not None:
            content = _read(path)
            # The flag that takes exactly one word comes last, so that none before it takes the user's words.
            words = [*_flags(content, kind, path), f"--config={path}", *others]
    command = _parsed(kind, words, verb)
    # Positional words of the file count only where the command line has none of its own.
    if content.get("trajectories") and not command.trajectories:  # type: ignore[attr-defined]
        command = dataclasses.replace(command, trajectories=tuple(content["trajectories"]))  # type: ignore[type-var]
    seed = getattr(command, "seed", 0)
    if seed < 0:
        raise UsageError(f"`seed` must not be negative; got {seed}.")
    _begin(command)
    return command


def _parsed(kind: type[Command], words: list[str], verb: str) -> Command:
    """What tyro makes of the words; settings that contradict each other are an error like any other."""
    said = io.StringIO()
    try:
        with _plain_unless_colored(), contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=words, prog=f"polyvae {verb}")
    except SystemExit as ended:
        if not ended.code:
            print(examples_of(verb))
            raise
        cause = _cause(ended)
        if cause is not None:
            raise UsageError(str(cause)) from ended
        print(said.getvalue(), end="", file=sys.stderr, flush=True)
        raise


def _cause(error: BaseException) -> InputError | None:
    """The `InputError` behind an error of tyro, if one is."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, InputError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


@contextlib.contextmanager
def _plain_unless_colored() -> Iterator[None]:
    """Tells tyro, which looks at standard output alone and knows no NO_COLOR, to write without color."""
    before = os.environ.get("TERM")
    if not (has_color(sys.stdout) and has_color(sys.stderr)):
        os.environ["TERM"] = "dumb"
    try:
        yield
    finally:
        os.environ.pop("TERM", None)
        if before is not None:
            os.environ["TERM"] = before


def _begin(command: Any) -> None:
    """With `--verbose`, the settings and what JAX computes on."""
    printing = getattr(command, "printing", None)
    if isinstance(printing, Printing) and printing.verbose:
        import jax

        devices = ", ".join(str(device) for device in jax.devices())
        say(f"{settings_text(command)}\njax {jax.__version__} on {devices}", quiet=False)


def _config_path(words: list[str]) -> tuple[Path | None, list[str]]:
    """The run file, and the words without it."""
    for index, word in enumerate(words):
        if word == "--config" and index + 1 < len(words):
            return Path(words[index + 1]), words[:index] + words[index + 2 :]
        if word.startswith("--config="):
            return Path(word.removeprefix("--config=")), words[:index] + words[index + 1 :]
    return None, words


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The run file {path} cannot be read: {error.strerror}. Check `--config`."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The run file {path} is not valid TOML: {error}.") from error


def _flags(content: dict[str, Any], kind: type, path: Path) -> list[str]:
    """The flags that say what a run file does; its trajectories become paths as seen from here."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    tables = {name: table for name, field in fields.items() if (table := table_of(field)) is not None}
    single = [field.name for field in dataclasses.fields(Printing)]
    known = [name for name in fields if name not in ("config", "printing")]
    flags: list[str] = []
    for key, value in content.items():
        where = f"{path}: {key}"
        if key == "trajectories":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise UsageError(f"{path}: `trajectories` must be a list of paths; got {value!r}.")
            content[key] = [seen_from(path, item) for item in value]
        elif key in single and "printing" in tables:
            flags += _flag(key, value, where)
        elif key not in known:
            raise UsageError(f"{path}: unknown key {key!r}. Known: {', '.join(known)}.")
        elif key in tables:
            if not isinstance(value, dict):
                raise UsageError(f"{path}: `{key}` is a table; write [{key}] and its keys below.")
            names = [field.name for field in dataclasses.fields(tables[key])]  # type: ignore[arg-type]
            for name, item in value.items():
                if name not in names:
                    raise UsageError(f"{path}: unknown key {name!r} in [{key}]. Known: {', '.join(names)}.")
                flags += _flag(name, _located(path, name, item), f"{path}: [{key}] {name}")
        else:
            flags += _flag(key, _located(path, key, value), where)
    return flags


def _located(path: Path, key: str, value: Any) -> Any:
    return seen_from(path, value) if key in PATHS and isinstance(value, str) else value


def _flag(name: str, value: Any, where: str) -> list[str]:
    word = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [word if value else "--no-" + word.removeprefix("--")]
    if isinstance(value, list):
        return [word, *(str(item) for item in value)]
    if isinstance(value, str) and re.match(r"-\D", value):
        return [f"{word}={value}"]
    if isinstance(value, str | int | float):
        return [word, str(value)]
    raise UsageError(f"{where} must be a number, a text, true, false or a list; got {value!r}.")
