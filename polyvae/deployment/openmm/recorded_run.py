"""`RecordedRun`: the steps of a simulation, whose state and record are saved so that a killed run goes on from there.

Every `save` steps the state of the simulation and of whatever accompanies it (a bias, or nothing) go into one file,
whole or not at all, and frames since the last save into a file of their own before that. Where the platform is
deterministic, a run that was killed and one that was not are the same to the bit.
"""

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory import atomic_path


@runtime_checkable
class Companion(Protocol):
    """What goes along with the steps."""

    def observe(self, step: int, positions: np.ndarray, box: np.ndarray | None) -> None:
        """Look at positions of the chosen atoms in nm, shape (atoms, 3), and box vectors as rows."""
        ...

    def settings(self) -> dict[str, Any]:
        """What must be the same when the run goes on, as JSON holds it."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """What must be saved; called at each save."""
        ...

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to what was saved."""
        ...


class Unbiased:
    """Nothing goes along."""

    def observe(self, step: int, positions: np.ndarray, box: np.ndarray | None) -> None:
        """Do nothing."""

    def settings(self) -> dict[str, Any]:
        """No settings."""
        return {}

    def state(self) -> dict[str, np.ndarray]:
        """No state."""
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Do nothing."""


class RecordedRun:
    """The steps of one simulation in one folder.

    Attributes:
        folder: holds the state and the frames.
        record: steps between looks at the simulation.
        save_every: steps between saves.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        atoms: Sequence[int] | np.ndarray,
        companion: Companion | None = None,
        *,
        name: str = "run",
        record: int = 100,
        save: int = 50_000,
        periodic: bool = False,
        keep_frames: bool = True,
    ) -> None:
        """A run that has not begun.

        Args:
            folder: made if missing.
            atoms: particles to look at.
            companion: a bias, for example.
            name: of the file of the state, without its suffix.
            record: steps between looks.
            save: steps between saves; a multiple of `record`.
            periodic: whether box vectors are recorded.
            keep_frames: whether positions of these atoms are kept, for `frames`.

        Raises:
            InputError: if the numbers of steps do not fit.
        """
        check_multiple("save", save, "record", record)
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.record, self.save_every = record, save
        self._path = self.folder / f"{name}.npz"
        self._atoms = np.asarray(atoms, np.int64).reshape(-1)
        self._companion = Unbiased() if companion is None else companion
        self._periodic, self._keeps = periodic, keep_frames
        self._pieces = 0
        self._fresh: list[tuple[np.ndarray, np.ndarray | None]] = []

    def step(self, simulation: Any, steps: int) -> None:
        """Go on by a number of steps.

        Args:
            simulation: `openmm.app.Simulation`.
            steps: how many; a multiple of `record`.

        Raises:
            InputError: if it is no such multiple, or positions are not finite.
        """
        if steps < 0 or steps % self.record:
            raise InputError(f"`steps`={steps} must be a multiple of `record`={self.record}.")
        for _ in range(steps // self.record):
            _advance(simulation, self.record)
            now = simulation.currentStep
            positions, box = self._look(simulation)
            self._companion.observe(now, positions, box)
            if self._keeps:
                self._fresh.append((positions.astype(np.float32), box))
            if now % self.save_every == 0:
                self._save(simulation)

    def resume(self, simulation: Any) -> bool:
        """Go back to the last save in the folder; whether there was one.

        Raises:
            InputError: if the file is damaged, or of another run or system.
        """
        if not self._path.exists():
            return False
        try:
            with np.load(self._path, allow_pickle=False) as archive:
                state = {name: archive[name] for name in archive.files}
            settings = json.loads(str(state["settings"]))
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{self._path} is damaged: {error}. Start anew in another folder.") from error
        ours = self._settings()
        changed = [name for name, value in ours.items() if settings.get(name) != value]
        if changed:
            then, now = (", ".join(f"{name}={of.get(name)}" for name in changed) for of in (settings, ours))
            raise InputError(
                f"{self._path} is of a run with {then}; this one has {now}. Use the settings of that run, or another "
                "folder."
            )
        try:
            simulation.context.loadCheckpoint(state["checkpoint"].tobytes())
        except Exception as error:
            raise InputError(
                f"{self._path} does not fit this simulation: {error}. A checkpoint holds for the same system, "
                "platform, integrator and version of OpenMM."
            ) from error
        self._companion.restore(state)
        self._pieces, self._fresh = int(state["pieces"]), []
        return True

    def frames(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Positions at every look, shape (looks, atoms, 3), float32, nm, and boxes, shape (looks, 3, 3), or None.

        Raises:
            InputError: if frames are not kept, or a file of them is missing or damaged.
        """
        if not self._keeps:
            raise InputError("This run keeps no frames. Make it with keep_frames=True.")
        pieces = [self._read(number) for number in range(self._pieces)]
        if self._fresh:
            pieces.append(_stacked(self._fresh))
        if not pieces:
            raise InputError(f"{self.folder} holds no frames yet. Call `step` first.")
        boxes = [box for _, box in pieces if box is not None]
        return np.concatenate([positions for positions, _ in pieces]), np.concatenate(
            boxes
        ) if boxes else None

    @property
    def files(self) -> list[Path]:
        """The files of this run, as far as it was saved."""
        return [*(self._piece(number) for number in range(self._pieces)), self._path]

    def planned_files(self, steps: int) -> list[Path]:
        """The files that there will be after so many steps from the start."""
        pieces = steps // self.save_every if self._keeps else 0
        return [*(self._piece(number) for number in range(pieces)), self._path]

    def _look(self, simulation: Any) -> tuple[np.ndarray, np.ndarray | None]:
        state = simulation.context.getState(positions=True)
        positions = state.getPositions(asNumpy=True)._value[self._atoms]
        if not np.isfinite(positions).all():
            raise _blown_up(simulation)
        return positions, state.getPeriodicBoxVectors(asNumpy=True)._value if self._periodic else None

    def _settings(self) -> dict[str, Any]:
        return self._companion.settings() | {"record": self.record, "save": self.save_every}

    def _save(self, simulation: Any) -> None:
        if self._keeps and self._fresh:
            positions, box = _stacked(self._fresh)
            arrays = {"positions": positions} | ({} if box is None else {"box": box})
            _write(self._piece(self._pieces), arrays)
            self._pieces, self._fresh = self._pieces + 1, []
        arrays = {
            "settings": np.array(json.dumps(self._settings())),
            "checkpoint": np.frombuffer(simulation.context.createCheckpoint(), np.uint8),
            "pieces": np.array(self._pieces),
        }
        _write(self._path, arrays | self._companion.state())

    def _piece(self, number: int) -> Path:
        return self.folder / f"{self._path.stem}_frames_{number:05d}.npz"

    def _read(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        path = self._piece(number)
        try:
            with np.load(path, allow_pickle=False) as archive:
                return archive["positions"], archive["box"] if "box" in archive.files else None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}, frames of this run, is missing or damaged: {error}. Start anew in another folder."
            ) from error


def check_multiple(name: str, value: int, of: str, other: int) -> None:
    """Raise an `InputError` unless both are positive and the one is a multiple of the other."""
    if other < 1 or value < 1 or value % other:
        raise InputError(f"`{name}`={value} must be a multiple of `{of}`={other}.")


def _advance(simulation: Any, steps: int) -> None:
    try:
        simulation.step(steps)
    except Exception as error:
        # Words of OpenMM and NumPy where numbers run away; anything else is not ours to explain.
        if any(word in str(error).lower() for word in ("nan", "overflow", "infinity")):
            raise _blown_up(simulation) from error
        raise


def _blown_up(simulation: Any) -> InputError:
    return InputError(
        f"Positions are not finite at step {simulation.currentStep}: the simulation has blown up. Use a shorter time "
        "step, or a gentler bias."
    )


def _stacked(
    frames: list[tuple[np.ndarray, np.ndarray | None]],
) -> tuple[np.ndarray, np.ndarray | None]:
    boxes = [box for _, box in frames if box is not None]
    return np.stack([positions for positions, _ in frames]), np.stack(boxes) if boxes else None


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
