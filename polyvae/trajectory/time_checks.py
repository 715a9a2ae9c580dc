"""Whether times go on evenly, as runs of equal steps: what is kept grows with what is uneven, not with the frames."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

_MOST_RUNS = 200_000
_LASTING = 3
"""Equal steps in a row that are taken for another time step, not for a gap."""


@dataclass(frozen=True, kw_only=True)
class TimeReport:
    """What the times of the chosen frames say; frames are numbers among the chosen ones.

    Attributes:
        step: median time between frames, or None.
        uniform: whether all steps within a simulation are equal, or None.
        gaps: frames before which some are missing, and how many of the file's frames.
        backward: frames that are earlier than the one before, and by how much.
        repeated: frames with the time of the one before.
        changes: frames from which on another time step holds, and that step.
        uneven: frames at any other distance from the one before.
        stretches: lengths of the stretches in which all steps are equal, the first 100.
        n_stretches: how many there are.
    """

    step: float | None
    uniform: bool | None
    gaps: tuple[tuple[int, int], ...] = ()
    backward: tuple[tuple[int, float], ...] = ()
    repeated: tuple[int, ...] = ()
    changes: tuple[tuple[int, float], ...] = ()
    uneven: tuple[int, ...] = ()
    stretches: tuple[int, ...] = ()
    n_stretches: int = 0


class TimeChecks:
    """Takes the times of frames in order, simulation by simulation."""

    def __init__(self) -> None:
        # First frame whose distance from the one before is the step, the step, and how many frames have it.
        self._runs: list[tuple[int, float, int]] = []
        self._begins: list[int] = [0]
        self._last: float | None = None
        self._latest = 0.0
        self._done = 0
        self._complete = True

    def begin_simulation(self) -> None:
        """Says that another simulation begins with the next frame."""
        self._begins.append(self._done)
        self._last = None

    def skip(self) -> None:
        """Leaves out one frame that cannot be read."""
        self._done += 1
        self._last = None

    def add(self, times: Float64[np.ndarray, " frames"] | None, n_frames: int) -> None:
        """Takes the times of the next frames."""
        first, self._done = self._done, self._done + n_frames
        if times is None or not np.isfinite(times).all():
            self._complete = False
            return
        self._latest = max(self._latest, float(np.abs(times).max()))
        if self._last is not None:
            times = np.concatenate([[self._last], times])
            first -= 1
        self._last = float(times[-1])
        steps = np.diff(times)
        if not len(steps) or len(self._runs) > _MOST_RUNS:
            return
        shorter = np.minimum(np.abs(steps[1:]), np.abs(steps[:-1]))
        begins = np.flatnonzero(np.r_[True, np.abs(np.diff(steps)) > self._jitter(shorter)])
        for begin, end in zip(begins, [*begins[1:], len(steps)], strict=True):
            self._add_run(first + 1 + int(begin), float(np.median(steps[begin:end])), int(end - begin))

    def report(self, stride: int = 1) -> TimeReport:
        """What the times say.

        Args:
            stride: of the file's frames; missing ones are counted in the file.
        """
        if not self._complete or not self._runs:
            return TimeReport(step=None, uniform=None)
        steps = np.array([step for _, step, _ in self._runs])
        counts = np.array([count for *_, count in self._runs])
        order = np.argsort(steps)
        step = float(steps[order][np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2)])
        even = np.abs(steps - step) <= self._jitter(step)
        kinds: dict[str, list] = {name: [] for name in ("gaps", "backward", "repeated", "changes", "uneven")}
        odd = [run for run, is_even in zip(self._runs, even, strict=True) if not is_even]
        for first, distance, count in odd:
            frames = range(first, first + count)
            missing = distance / step * stride - stride if step > 0 else 0.0
            if distance == 0:
                kinds["repeated"] += frames
            elif distance < 0:
                kinds["backward"] += [(frame, -distance) for frame in frames]
            elif count >= _LASTING:
                kinds["changes"].append((first, distance))
            elif round(missing) >= 1 and abs(missing - round(missing)) < 0.1:
                kinds["gaps"] += [(frame, round(missing)) for frame in frames]
            else:
                kinds["uneven"] += frames
        cuts = sorted({*self._begins, *(first for first, *_ in odd)})
        stretches = np.diff([*cuts, self._done])
        return TimeReport(
            step=step,
            uniform=bool(even.all()),
            stretches=tuple(int(length) for length in stretches[:100]),
            n_stretches=len(stretches),
            **{name: tuple(found) for name, found in kinds.items()},
        )

    def _add_run(self, first: int, step: float, count: int) -> None:
        if self._runs:
            last_first, last_step, last_count = self._runs[-1]
            if last_first + last_count == first and abs(step - last_step) <= self._jitter(last_step):
                self._runs[-1] = (last_first, last_step, last_count + count)
                return
        self._runs.append((first, step, count))

    def _jitter(self, step: Any) -> Any:
        """What two equal steps may differ by: XTC and TRR store times in single precision."""
        return np.maximum(1e-3 * np.abs(step), 4 * float(np.spacing(np.float32(self._latest))))
