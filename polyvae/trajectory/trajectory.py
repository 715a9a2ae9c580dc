"""`Trajectory`: conformations in memory, with everything that travels with them.

Positions are float32 of shape (frames, atoms, dims), dims 2 or 3, in nm or reduced units. A trajectory may
join several simulations: `segments` holds their lengths, and nothing downstream (lag pairs, alignment memory,
validation blocks) crosses a join. The object is immutable: its arrays are read-only, and every method returns
a new one.
"""

from __future__ import annotations

import dataclasses
import mmap
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory.mapped import chunk_rows, mapping_of, row_chunks, take_rows
from polyvae.trajectory.skipped import SkippedFrames
from polyvae.units import MOLECULAR, Units

if TYPE_CHECKING:
    import mdtraj


_CHUNK_BYTES = 16_000_000
# Mapped files may be large: each is looked through for NaN once, not for every trajectory made of it.
_LOOKED_THROUGH: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """Conformations in memory.

    Attributes:
        positions: positions of shape (frames, atoms, dims), float32, in `units.length`.
        times: time of each frame in `units.time`, or None where the source has none.
        topology: mdtraj topology with `n_atoms` atoms, or None (bead models, bare arrays).
        masses: masses in Da, or None where they are unknown (then all atoms weigh the same).
        box: box vectors as rows, shape (frames, 3, 3), or None for a system without one.
        bonds: zero-based atom pairs of shape (bonds, 2), or None where nothing is known.
        bond_source: where the bonds come from: "topology", "distances" (some searched in the first frame,
            because the topology lacks them or does not fit), "file", "argument", "sequence" (assumed:
            consecutive atoms of a chain) or "none".
        weights: statistical weight of each frame, or None for equal weights.
        segments: lengths of the joined simulations, in order; they sum to the number of frames.
        units: names of the units.
        selection: the atom selection that led here, in mdtraj's language, or None for all atoms.
        source: what to call this trajectory in messages, such as the file names.
        source_hash: SHA-256 of the source files, or None for arrays.
        skipped: the bad frames that were left out on reading, file by file.

    Raises:
        InputError: if shapes disagree, positions are not finite, or there is no frame.
    """

    # Plain arrays here: any shape and type may come in, and `__post_init__` converts or explains.
    positions: np.ndarray
    times: np.ndarray | None = None
    topology: mdtraj.Topology | None = None
    masses: np.ndarray | None = None
    box: np.ndarray | None = None
    bonds: np.ndarray | None = None
    bond_source: str = "none"
    weights: np.ndarray | None = None
    segments: tuple[int, ...] = ()
    units: Units = MOLECULAR
    selection: str | None = None
    source: str = "array"
    source_hash: str | None = None
    skipped: tuple[SkippedFrames, ...] = ()

    def __post_init__(self) -> None:
        set_field = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        for name, dtype in _DTYPES.items():
            value = getattr(self, name)
            if value is not None:
                array = np.array(value, dtype=dtype, order="C", copy=None)
                if array.flags.writeable:
                    array = array.view()
                    array.flags.writeable = False
                set_field(name, array)
        if not self.segments:
            set_field("segments", (len(self.positions),))
        self._check()

    def _check(self) -> None:
        positions, source = self.positions, self.source
        if positions.ndim != 3 or positions.shape[2] not in (2, 3):
            raise InputError(
                f"{source}: `positions` must have shape (frames, atoms, 2) or (frames, atoms, 3); got "
                f"{positions.shape}."
            )
        n_frames, n_atoms, _ = positions.shape
        if n_frames == 0:
            raise InputError(f"{source}: no frames are left; check `start`, `stop` and `stride`.")
        if n_atoms == 0:
            raise InputError(f"{source}: no atoms are left; check the `atoms` selection.")
        shapes = {"times": (n_frames,), "weights": (n_frames,), "masses": (n_atoms,), "box": (n_frames, 3, 3)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise InputError(f"{source}: `{name}` must have shape {shape}; got {value.shape}.")
        if self.topology is not None and self.topology.n_atoms != n_atoms:
            raise InputError(
                f"{source}: the topology has {self.topology.n_atoms} atoms but the positions have {n_atoms}."
            )
        if sum(self.segments) != n_frames:
            raise InputError(f"{source}: `segments` sum to {sum(self.segments)}; expected {n_frames} frames.")
        if self.bonds is not None and (self.bonds.ndim != 2 or self.bonds.shape[1] != 2):
            raise InputError(f"{source}: `bonds` must have shape (bonds, 2); got {self.bonds.shape}.")
        if (
            self.bonds is not None
            and self.bonds.size
            and not 0 <= self.bonds.min() <= self.bonds.max() < n_atoms
        ):
            raise InputError(
                f"{source}: `bonds` must be atom indices from 0 to {n_atoms - 1}; got {self.bonds.min()} "
                f"to {self.bonds.max()}. Count from 0."
            )
        if self.weights is not None and not (np.all(self.weights >= 0) and 0 < self.weights.sum() < np.inf):
            raise InputError(f"{source}: `weights` must be finite, not negative and not all zero.")
        self._check_finite()

    def _check_finite(self) -> None:
        mapped = mapping_of(self.positions)
        if mapped in _LOOKED_THROUGH:
            return
        finite = np.concatenate([np.isfinite(chunk).all(axis=(1, 2)) for chunk in self.position_chunks()])
        if not finite.all():
            frame = int(np.argmin(finite))
            atom = int(np.argmin(np.isfinite(self.positions[frame]).all(axis=1)))
            raise InputError(
                f"{self.source}: {np.count_nonzero(~finite)} of {self.n_frames} frames hold NaN or infinity, first "
                f"at frame {frame}, atom {atom}. Cut them away with `stop={frame}` or repair the file."
            )
        if mapped is not None and len(self.positions) * self.positions[:1].nbytes == len(mapped):
            _LOOKED_THROUGH.add(mapped)

    @property
    def n_frames(self) -> int:
        """Number of conformations."""
        return self.positions.shape[0]

    @property
    def n_atoms(self) -> int:
        """Number of atoms or beads."""
        return self.positions.shape[1]

    @property
    def dims(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return self.positions.shape[2]

    @property
    def frames_at_once(self) -> int:
        """Frames in a piece of about 16 MB: what is taken at a time of a trajectory that may be larger than memory."""
        return chunk_rows(self.positions, _CHUNK_BYTES)

    def position_chunks(self, frames: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Positions in pieces of about 16 MB, shape (chunk, atoms, dims); only one of them need be in memory.

        Args:
            frames: indices of the frames to take, ascending, or None for all.
        """
        return row_chunks(self.positions, self.frames_at_once, frames)

    @property
    def segment_ids(self) -> np.ndarray:
        """Index of the joined simulation that each frame belongs to, shape (frames,)."""
        return np.repeat(np.arange(len(self.segments)), self.segments)

    def replace(self, **changes: Any) -> Trajectory:
        """This trajectory with some fields changed."""
        return dataclasses.replace(self, **changes)

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, frames: slice | np.ndarray) -> Trajectory:
        """The chosen frames, by a slice, an index array or a boolean mask; joins are kept."""
        index = np.arange(self.n_frames)[frames]
        if index.ndim != 1:
            raise InputError("Index a Trajectory by a slice or an array of frames, such as trajectory[3:4].")
        ids = self.segment_ids[index]
        change = np.flatnonzero(np.diff(ids) != 0) + 1
        segments = tuple(np.diff(np.array([0, *change, len(ids)])).tolist())
        pick = lambda array: None if array is None else array[index]  # noqa: E731
        return self.replace(
            positions=take_rows(self.positions, index),
            times=pick(self.times),
            box=pick(self.box),
            weights=pick(self.weights),
            segments=segments if len(index) else (),
        )

    def atom_slice(self, atoms: np.ndarray, *, selection: str | None = None) -> Trajectory:
        """The chosen atoms, in the order given; bonds between them are kept and renumbered.

        Args:
            atoms: zero-based indices of shape (chosen,).
            selection: the words that led to these indices, kept for messages and model files.
        """
        atoms = np.asarray(atoms, dtype=np.int64)
        if atoms.size == 0:
            raise InputError(f"{self.source}: the selection {selection!r} holds no atom.")
        bonds = self.bonds
        if bonds is not None:
            renumber = np.full(self.n_atoms, -1)
            renumber[atoms] = np.arange(len(atoms))
            bonds = renumber[bonds]
            bonds = bonds[(bonds >= 0).all(axis=1)]
        return self.replace(
            positions=self.positions[:, atoms],
            topology=None if self.topology is None else self.topology.subset(atoms.tolist()),
            masses=None if self.masses is None else self.masses[atoms],
            bonds=bonds,
            selection=selection if selection is not None else self.selection,
        )

    def __repr__(self) -> str:
        joins = f", {len(self.segments)} segments" if len(self.segments) > 1 else ""
        return (
            f"Trajectory({self.n_frames} frames, {self.n_atoms} atoms, {self.dims}-D, "
            f"{self.units.length}{joins}, {self.source})"
        )


_DTYPES = {
    "positions": np.float32,
    "times": np.float64,
    "masses": np.float64,
    "box": np.float32,
    "bonds": np.int64,
    "weights": np.float64,
}
