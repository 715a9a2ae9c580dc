"""DCD files by memory map: random access, exact frame counts, no time.

A DCD file is Fortran records: a header (`CORD`, 20 integers), a title, the number of atoms, then per frame an
optional unit cell (six float64: a, γ, b, β, α, c) and one float32 record for each of x, y, z, in Å. All
frames have the same size, so that the file's size tells how many frames it really holds; headers of
interrupted runs often claim more. Files with fixed atoms or 64-bit record markers are not of this shape;
`read_layout` returns None for them.

References:
    The DCD plugin of VMD's molfile library, for the meaning of the header's integers and of the unit cell's
    angles.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyvae.errors import PolyvaeWarning
from polyvae.trajectory.mapped import release
from polyvae.trajectory.raw import FrameFile, RawFrames, box_vectors

_ANGSTROM = np.float32(0.1)


@dataclass(frozen=True, kw_only=True)
class DcdLayout:
    """Where the frames lie: header claims, offset in bytes, and the type of one frame's record."""

    n_atoms: int
    claimed: int
    offset: int
    frame: np.dtype
    has_cell: bool


def read_layout(path: Path) -> DcdLayout | None:
    """The layout of a plain DCD file, or None if it is not one."""
    with path.open("rb") as file:
        head = file.read(92)
        if len(head) < 92 or head[4:8] != b"CORD":
            return None
        order = "<" if head[:4] == (84).to_bytes(4, "little") else ">"
        integer = np.dtype(f"{order}i4")
        if int(np.frombuffer(head[:4], integer)[0]) != 84:
            return None
        control = np.frombuffer(head[8:88], integer)
        fixed, charmm = int(control[8]), int(control[19]) != 0
        has_cell, has_fourth = charmm and bool(control[10]), charmm and bool(control[11])
        title = int(np.frombuffer(file.read(4).ljust(4, b"\0"), integer)[0])
        if fixed or not 0 <= title < 10**6:
            return None
        file.seek(92 + 4 + title + 4)
        atoms = np.frombuffer(file.read(12).ljust(12, b"\0"), integer)
        if atoms[0] != 4 or atoms[1] < 1:
            return None
        offset = file.tell()
    n_atoms = int(atoms[1])
    names = ["x", "y", "z"] + (["w"] if has_fourth else [])
    fields = [("cell0", integer), ("cell", f"{order}f8", (6,)), ("cell1", integer)] if has_cell else []
    for name in names:
        fields += [(f"{name}0", integer), (name, f"{order}f4", (n_atoms,)), (f"{name}1", integer)]
    return DcdLayout(
        n_atoms=n_atoms, claimed=int(control[0]), offset=offset, frame=np.dtype(fields), has_cell=has_cell
    )


class DcdFile(FrameFile):
    """Frames of a plain DCD file."""

    def __init__(self, path: Path, layout: DcdLayout) -> None:
        self.name, self.path, self._layout = str(path), path, layout
        self.n_atoms, self.announced = layout.n_atoms, layout.claimed
        self.n_frames, left = divmod(path.stat().st_size - layout.offset, layout.frame.itemsize)
        if left:
            self.damage = f"the file ends inside frame {self.n_frames}; its header announces {layout.claimed}"
        elif self.n_frames < layout.claimed:
            warnings.warn(
                f"{path}: the header announces {layout.claimed} frames but the file holds {self.n_frames}. "
                "The run or "
                "a copy may have been interrupted; the frames that are there are used.",
                PolyvaeWarning,
                stacklevel=5,
            )

    def _read_blocks(
        self, start: int, stop: int, stride: int, atoms: np.ndarray | None, size: int
    ) -> Iterator[RawFrames]:
        layout = self._layout
        if not self.n_frames:
            return
        frames = np.memmap(self.path, layout.frame, mode="r", offset=layout.offset, shape=(self.n_frames,))
        chosen = slice(None) if atoms is None else atoms
        for first in range(start, stop, size * stride):
            block = frames[first : min(stop, first + size * stride) : stride]
            axes = [block[axis][:, chosen] for axis in "xyz"]
            positions = np.stack(axes, axis=-1).astype(np.float32, copy=False)
            positions *= _ANGSTROM
            raw = RawFrames(positions=positions, box=_cell(block["cell"]) if layout.has_cell else None)
            release(frames)
            yield raw


def _cell(cell: np.ndarray) -> np.ndarray | None:
    lengths = cell[:, [0, 2, 5]] * 0.1
    angles = cell[:, [4, 3, 1]].astype(np.float64)
    if np.all(np.abs(angles) <= 1.0):
        # CHARMM and NAMD store cosines, others degrees.
        angles = np.rad2deg(np.arccos(angles))
    return box_vectors(lengths, angles)
