"""Messages as a terminal should show them: settings under the names of flags, and no character that steers it.

The Python API speaks of arguments (`stop`, stop=11). On the command line the same setting is a flag (--stop 11). A
message keeps what the user typed: a file that is called "stop=1.xtc" is not rewritten.
"""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

import tyro

_VALUE = r"""\.\.\.|"[^"]*"|'[^']*'|[\w+-]+(?:\.\d+)?"""
_CALL = re.compile(r"\w\([^()]*\)")
"""A call of a Python function, whose arguments are no flags."""
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m"}


def flags_of(kind: type) -> dict[str, str]:
    """The flag of each setting of a command, by its name in Python; words without a flag are left out.

    Args:
        kind: the dataclass of the command.
    """
    hints = get_type_hints(kind, include_extras=True)
    flags: dict[str, str] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        table = table_of(field)
        if table is not None:
            is_prefixed = tyro.conf.OmitArgPrefixes not in _markers(hints[field.name])
            flags |= {} if is_prefixed else flags_of(table)
        elif tyro.conf.Positional not in _markers(hints[field.name]):
            flags[field.name] = "--" + field.name.replace("_", "-")
    return flags


def table_of(field: dataclasses.Field) -> type | None:
    """The dataclass of a field that is a table of its own, or None."""
    factory = field.default_factory
    if factory is dataclasses.MISSING or field.name.startswith("_"):
        return None
    made = factory if isinstance(factory, type) else type(factory())
    return made if dataclasses.is_dataclass(made) else None


def in_flags(text: str, flags: Mapping[str, str], *, kept: Iterable[str] = ()) -> str:
    """A message of the Python API with flags in place of its arguments.

    Args:
        text: the message.
        flags: flag of each argument.
        kept: words that stay as they are, such as those of the command line.
    """
    words = sorted({word for word in kept if "=" in word or "`" in word}, key=len, reverse=True)
    if words or _CALL.search(text):
        pieces = re.split(f"({'|'.join([*map(re.escape, words), _CALL.pattern])})", text)
        return "".join(piece if index % 2 else in_flags(piece, flags) for index, piece in enumerate(pieces))
    names = "|".join(sorted(map(re.escape, flags), key=len, reverse=True))
    # `overwrite` (--overwrite) and top=... (--top) name both already.
    text = re.sub(rf"`?\b({names})(?:=\.\.\.)?`? \((--[\w-]+)\)", r"\2", text)
    for pattern in (rf"`({names})=({_VALUE})`", rf"`({names})`=({_VALUE})"):
        text = re.sub(pattern, lambda match: f"`{_assigned(flags[match[1]], match[2])}`", text)
    bare = rf"(?<![\w.,:=`-])(?<!\w\()({names})=({_VALUE})"
    text = re.sub(bare, lambda match: _assigned(flags[match[1]], match[2]), text)
    return re.sub(rf"`({names})`", lambda match: f"`{flags[match[1]]}`", text)


def _assigned(flag: str, value: str) -> str:
    if value == "...":
        return flag
    if value in ("True", "False"):
        return flag if value == "True" else "--no-" + flag.removeprefix("--")
    bare = value[1:-1] if value[0] in "\"'" else value
    return f"{flag} {bare if re.fullmatch(r'[^ ]+', bare) else value}"


def _markers(hint: Any) -> tuple:
    return getattr(hint, "__metadata__", ())


def printable(text: str, *, kept: str = "\n") -> str:
    r"""Text without characters that steer a terminal or change the direction of writing: \x1b is shown as `\x1b`.

    Args:
        text: any text; names of files, residues and atoms may be in it.
        kept: characters that stay.
    """
    return "".join(
        letter if letter.isprintable() or letter in kept else letter.encode("unicode_escape").decode()
        for letter in text
    )


def one_line(text: str, *, kept: Iterable[str] = ()) -> str:
    """Printable text on one line; line breaks in the words that are kept stay visible as escapes.

    Args:
        text: the message.
        kept: words of the command line.
    """
    for word in kept:
        if not word.isprintable():
            text = text.replace(word, printable(word, kept=""))
    return printable(re.sub(r"\s*\n\s*", " ", text).strip(), kept="")


def has_color(stream: Any) -> bool:
    """Whether color may be written: to a terminal that knows it, and unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("", "dumb")


def colored(kind: str, stream: Any) -> str:
    """The word "error" or "warning", in color where that may be."""
    return f"{_COLORS[kind]}{kind}\x1b[0m" if has_color(stream) else kind
