"""Words and TOML to settings: both are generated from the same dataclasses, and flags win over the file.

A key of the run file is turned into the flag of the same name and put before the user's own flags. So both
know the same names, are checked alike, and the last word is the command line's.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from polyvae.errors import InputError

Command = TypeVar("Command")


def parse(kind: type[Command], words: Sequence[str], *, verb: str) -> Command:
    """The settings of a command from its words, and from the run file that `--config` names.

    Args:
        kind: the dataclass of the command.
        words: words after the verb.
        verb: for the usage line.

    Raises:
        InputError: if the run file cannot be read or holds an unknown key.
        SystemExit: on a wrong word, with code 2, or after `--help`, with code 0.
    """
    words = list(words)
    content: dict[str, Any] = {}
    if any(field.name == "config" for field in dataclasses.fields(kind)):  # type: ignore[arg-type]
        path = _config_path(words)
        if path is not None:
            content = _read(path)
            words = _flags(content, kind, path) + words
    command = tyro.cli(kind, args=words, prog=f"polyvae {verb}")
    # Positional words of the file count only where the command line has none of its own.
    if content.get("trajectories") and not command.trajectories:  # type: ignore[attr-defined]
        command = dataclasses.replace(command, trajectories=tuple(content["trajectories"]))  # type: ignore[type-var]
    return command


def _config_path(words: Sequence[str]) -> Path | None:
    for index, word in enumerate(words):
        if word == "--config" and index + 1 < len(words):
            return Path(words[index + 1])
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"The run file {path} cannot be read: {error.strerror}. Check `--config`."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The run file {path} is not valid TOML: {error}.") from error


def _flags(content: Mapping[str, Any], kind: type, path: Path) -> list[str]:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    tables = {name: _table_type(field) for name, field in fields.items() if _table_type(field) is not None}
    known = [name for name in fields if name not in ("config", "debug")]
    flags: list[str] = []
    for key, value in content.items():
        if key not in known:
            raise InputError(f"{path}: unknown key {key!r}. Known: {', '.join(known)}.")
        if key == "trajectories":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise InputError(f"{path}: `trajectories` must be a list of paths; got {value!r}.")
        elif key in tables:
            if not isinstance(value, dict):
                raise InputError(f"{path}: `{key}` is a table; write [{key}] and its keys below.")
            names = [field.name for field in dataclasses.fields(tables[key])]  # type: ignore[arg-type]
            for name, item in value.items():
                if name not in names:
                    raise InputError(f"{path}: unknown key {name!r} in [{key}]. Known: {', '.join(names)}.")
                flags += _flag(name, item, f"{path}: [{key}] {name}")
        else:
            flags += _flag(key, value, f"{path}: {key}")
    return flags


def _table_type(field: dataclasses.Field) -> type | None:
    """The dataclass of a field that is a table of its own, or None."""
    factory = field.default_factory
    return factory if isinstance(factory, type) and dataclasses.is_dataclass(factory) else None


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
    raise InputError(f"{where} must be a number, a text, true, false or a list; got {value!r}.")
