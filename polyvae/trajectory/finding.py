"""What an inspection finds: what is wrong, where, and the argument, flag and command that mend it.

A remedy is kept as options, names and values that Python and the command line share; the argument and the command are
both written from them.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from polyvae.trajectory.span import Span

LISTED = 100
"""The most frames that a finding lists."""

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, kw_only=True)
class FramePlace:
    """Where a frame is.

    Attributes:
        file: name of its file.
        frame: its number in the file, from 0.
        index: its number among the chosen frames of all files, from 0: after start, stop and stride.
    """

    file: str
    frame: int
    index: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to know or to mend.

    Attributes:
        code: a name that stays the same, for machines.
        severity: "error": training would stop, or learn what is wrong; "warning": it works, but some of the answers
            mislead; "note": good to know.
        what: what it is.
        remedy: what to do, in words.
        argument: the remedy in Python, such as "scale=0.1"; empty where it is no argument.
        command: the remedy as a full command line; None where the source is not a file, or the remedy no command.
        options: the remedy as names and values.
        n_frames: frames that it is about; 0 if it is about none in particular.
        frames: the first of them, at most 100.
    """

    code: str
    severity: Severity
    what: str
    remedy: str
    argument: str = ""
    command: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    n_frames: int = 0
    frames: tuple[FramePlace, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Remedies:
    """Turns options into arguments and commands for the files that were inspected.

    Attributes:
        files: the files as the user named them, or None where the source is no file.
        asked: the options that the user gave, or None where one of them cannot be written on a command line.
    """

    files: tuple[str, ...] | None
    asked: Mapping[str, Any] | None

    def asks(self, name: str) -> bool:
        """Whether the user gave this option."""
        return self.asked is not None and name in self.asked

    def command(self, options: Mapping[str, Any]) -> str | None:
        """`polyvae run` on the user's files with these options on top of the user's own."""
        if not self.files or self.asked is None:
            return None
        words = ["polyvae", "run", *self.files]
        for name, value in {**self.asked, **options}.items():
            words.append(f"--{name.replace('_', '-')}")
            words += [str(part) for part in (value if isinstance(value, tuple) else (value,))]
        return shlex.join(words)

    def argument(self, options: Mapping[str, Any]) -> str:
        """The options as Python arguments."""
        return ", ".join(f"{name}={value!r}" for name, value in options.items())

    def finding(
        self,
        code: str,
        severity: Severity,
        what: str,
        remedy: str,
        options: Mapping[str, Any] | None = None,
        frames: Sequence[FramePlace] = (),
        n_frames: int | None = None,
        *,
        owner: str = "",
    ) -> Finding:
        """A finding whose remedy is these options; None where no option mends it, {} where `run` does by itself.

        `owner` is the settings record that the options belong to, where that is not `load`.
        """
        argument = self.argument(options or {})
        return Finding(
            code=code,
            severity=severity,
            what=what,
            remedy=remedy,
            argument=f"{owner}({argument})" if owner and argument else argument,
            command=None if options is None else self.command(options),
            options=dict(options or {}),
            n_frames=len(frames) if n_frames is None else n_frames,
            frames=tuple(frames[:LISTED]),
        )


def combined_options(findings: Sequence[Finding]) -> dict[str, Any]:
    """The options of all errors and warnings together.

    Of two stretches of frames what both hold is taken; of other options that two findings set, the first one.
    """
    together: dict[str, Any] = {}
    for finding in findings:
        if finding.severity == "note":
            continue
        for name, value in finding.options.items():
            if name not in together:
                together[name] = value
            elif name in ("start", "stop"):
                together[name] = (max if name == "start" else min)(together[name], value)
    if together.get("start", 0) >= together.get("stop", float("inf")):
        del together["start"]
    return together


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then notes."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def places(spans: Sequence[Span], indices: Sequence[int]) -> list[FramePlace]:
    """Where the first of these frames are, at most 100 of them; given by ascending numbers among the chosen frames."""
    found, begin, rest = [], 0, [int(index) for index in indices[:LISTED]]
    for span in spans:
        end = begin + len(span)
        while rest and rest[0] < end:
            index = rest.pop(0)
            found.append(FramePlace(file=span.file.name, frame=span.frames[index - begin], index=index))
        begin = end
    return found


def clean_stretch(
    spans: Sequence[Span], bad: Sequence[int], cuts: Sequence[int] = ()
) -> dict[str, int] | None:
    """`start` and `stop` of the longest stretch without these frames, which does not cross these cuts.

    None where there are several files, since they share `start` and `stop`, and where fewer than ten frames would be
    left.

    Args:
        spans: the chosen frames.
        bad: numbers of frames among the chosen ones.
        cuts: frames that a new stretch begins with.
    """
    if len({id(span.file) for span in spans}) > 1:
        return None
    n_frames = sum(map(len, spans))
    ends = sorted({0, n_frames, *bad, *(index + 1 for index in bad), *cuts})
    forbidden = set(bad)
    stretches = [pair for pair in pairwise(ends) if pair[0] not in forbidden]
    first, last = max(stretches, key=lambda pair: pair[1] - pair[0], default=(0, 0))
    if last - first < FEWEST:
        return None
    at_first, at_last = places(spans, [first, last - 1])
    kept = {"start": at_first.frame} if first else {}
    return kept if last == n_frames else {**kept, "stop": at_last.frame + 1}


FEWEST = 10
"""The fewest frames that can be divided into training, validation and test."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun, such as "1 frame" or "7 frames"; `many` is for more where an s is not enough."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def frame_list(frames: Sequence[FramePlace], n_frames: int, *, shown: int = 8) -> str:
    """The first frames by their numbers in the file, neighbors as "5-9"; with file names if there are several."""
    several = len({place.file for place in frames}) > 1
    runs: list[list[FramePlace]] = []
    for place in frames:
        last = runs[-1][-1] if runs else None
        if last is not None and last.file == place.file and place.frame == last.frame + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    words, file = [], None
    for run in runs[:shown]:
        name = f"{run[0].file} " if several and run[0].file != file else ""
        file = run[0].file
        words.append(name + (str(run[0].frame) if len(run) == 1 else f"{run[0].frame}-{run[-1].frame}"))
    told = sum(len(run) for run in runs[:shown])
    return ", ".join(words) + (" ..." if told < n_frames else "")
