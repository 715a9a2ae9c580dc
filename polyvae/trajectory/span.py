"""`Span`: the frames of one file that belong to one simulation, and how they are read where some are bad."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from polyvae.trajectory.raw import SKIP_REMEDY, FrameFile, RawFrames, UnreadableFrames, in_blocks_of


@dataclass(frozen=True, kw_only=True)
class Span:
    """Frames range(start, stop, stride) of one file that belong to one simulation."""

    file: FrameFile
    start: int
    stop: int
    stride: int

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def frames(self) -> range:
        """Numbers of the frames in the file."""
        return range(self.start, self.stop, self.stride)

    def part(self, first: int, last: int) -> "Span":
        """Frames `first` to before `last`, counted within the span."""
        start = self.start + first * self.stride
        return replace(self, start=start, stop=min(self.stop, self.start + last * self.stride))

    def blocks(self, atoms: np.ndarray | None, size: int, *, has_box: bool = False) -> Iterator[RawFrames]:
        """The frames in blocks of exactly `size`, the last one shorter.

        Args:
            atoms: indices of the atoms to read, or None for all.
            size: frames in a block.
            has_box: whether every frame must have a box.

        Raises:
            UnreadableFrames: if a frame cannot be read or lacks its box.
            InputError: if the file has changed since it was opened.
        """
        done = 0
        for raw in in_blocks_of(size, self.file.blocks(self.start, self.stop, self.stride, atoms, size)):
            if has_box and raw.box is None:
                frames = self.frames[done : done + len(raw)]
                raise UnreadableFrames(
                    f"{self.file.name}: the box is missing or damaged in at least one of the frames {frames[0]} to "
                    f"{frames[-1]}. {SKIP_REMEDY}"
                )
            yield raw
            done += len(raw)
        if done != len(self):
            raise UnreadableFrames(
                f"{self.file.name}: {len(self)} frames were expected but {done} could be read. Cut it with "
                f"`stop={self.start + done * self.stride}`. {SKIP_REMEDY}"
            )

    def readable_blocks(
        self, atoms: np.ndarray | None, size: int, *, has_box: bool = False
    ) -> Iterator[tuple[int, RawFrames | None]]:
        """Blocks of at most `size` frames, each after the index of its first; None for one that cannot be read.

        Arguments as for `blocks`.
        """
        done = 0
        while done < len(self):
            try:
                for raw in self.part(done, len(self)).blocks(atoms, size, has_box=has_box):
                    yield done, raw
                    done += len(raw)
            except UnreadableFrames:
                # A block that fails is read again frame by frame; then it goes on after it.
                count = min(size, len(self) - done)
                if count == 1:
                    yield done, None
                else:
                    failed = self.part(done, done + count)
                    for index, raw in failed.readable_blocks(atoms, 1, has_box=has_box):
                        yield done + index, raw
                done += count
