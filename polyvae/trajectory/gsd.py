"""GSD files of HOOMD-blue, read block by block through mdtraj.

Their time is a step number, so there is none.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mdtraj.formats.gsd import load_gsd, load_gsd_topology

from polyvae.errors import InputError
from polyvae.trajectory.mdtraj_calls import OURS, quiet_mdtraj, require_library
from polyvae.trajectory.raw import SKIP_REMEDY, FrameFile, RawFrames, UnreadableFrames, real_box


class GsdFile(FrameFile):
    """Frames of a GSD file."""

    def __init__(self, path: Path) -> None:
        self.name, self.path = str(path), path
        require_library(path, ".gsd")
        try:
            with quiet_mdtraj():
                # An optional library: most users never read GSD.
                import gsd.hoomd

                topology = load_gsd_topology(str(path))
                with gsd.hoomd.open(str(path), "r") as file:
                    self.n_frames = len(file)
        except OURS:
            raise
        except Exception as error:
            raise InputError(f"{path} cannot be read as GSD: {error}. It may be truncated.") from error
        self.topology, self.n_atoms = topology, topology.n_atoms

    def _read_blocks(
        self, start: int, stop: int, stride: int, atoms: np.ndarray | None, size: int
    ) -> Iterator[RawFrames]:
        for first in range(start, stop, size * stride):
            last = min(stop, first + size * stride)
            try:
                with quiet_mdtraj():
                    block = load_gsd(
                        str(self.path), top=self.topology, start=first, n_frames=last - first, stride=stride
                    )
            except OURS:
                raise
            except Exception as error:
                raise UnreadableFrames(
                    f"{self.path} cannot be read on after frame {first}: {error}. Read what is before with "
                    f"`stop={first}`. {SKIP_REMEDY}"
                ) from error
            xyz = np.asarray(block.xyz, np.float32)
            yield RawFrames(
                positions=xyz if atoms is None else xyz[:, atoms], box=real_box(block.unitcell_vectors)
            )
