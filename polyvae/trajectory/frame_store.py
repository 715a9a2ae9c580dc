"""Frames of a trajectory larger than memory: read once, kept as plain numbers in a folder, mapped from there.

`positions.f32` and, where the source has them, `box.f32`, `times.f64` and `weights.f64` hold all frames end to
end. They are written shard by shard (ranges of about 64 MB): `manifest.json` says what belongs where, and
`shards.jsonl` gets a line with the SHA-256 of a shard when its bytes are written. A pass that was cut short
goes on with the shards that have no line; those that have one are checked. Several files of a trajectory may
be read by as many processes.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from polyvae.errors import InputError, OutputError
from polyvae.trajectory.atomic import atomic_path
from polyvae.trajectory.mapped import map_array
from polyvae.trajectory.raw import RawFrames
from polyvae.trajectory.read_ahead import read_ahead
from polyvae.trajectory.source import TrajectorySource, check_finite
from polyvae.trajectory.trajectory import Trajectory

_VERSION = 1
_SHARD_BYTES = 64_000_000
_MANIFEST, _DONE = "manifest.json", "shards.jsonl"
_FILES = {"positions": "positions.f32", "box": "box.f32", "times": "times.f64", "weights": "weights.f64"}


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A range of frames of one span.

    Attributes:
        span: index of the span.
        first: its first frame, counted within the span.
        n_frames: how many.
        start: number of the first frame in the whole trajectory.
    """

    span: int
    first: int
    n_frames: int
    start: int


def stored_trajectory(
    source: TrajectorySource, folder: Path, *, workers: int = 1, temporary: bool = False
) -> Trajectory:
    """All frames of a source, mapped from a folder; frames that lie there already are not read again.

    Args:
        source: where the frames come from.
        folder: made if it is missing. What an older, other source left in it is replaced.
        workers: processes that read the files of a trajectory side by side. They are started by "spawn", so a
            script that asks for more than one must start under `if __name__ == "__main__":`.
        temporary: whether the folder goes when nothing refers to the positions any more.

    Raises:
        InputError: if a frame holds NaN or infinity or cannot be read, a file changes meanwhile, the folder cannot be
            written to, its disk is too full, or it holds something else.
    """
    arrays, shards = _layout(source), _shards(source)
    with _disk_errors(folder):
        done = _begun(source, folder, arrays, shards)
    missing = [index for index in range(len(shards)) if index not in done]
    # Runs of shards that follow one another in a span are read in one pass over the file.
    runs = [
        [index for _, index in group]
        for _, group in groupby(
            enumerate(missing), key=lambda pair: (pair[1] - pair[0], shards[pair[1]].span)
        )
    ]
    # The files are hashed while they are read.
    with ThreadPoolExecutor(1) as hashing:
        source_hash = hashing.submit(lambda: source.source_hash)
        if workers > 1 and len(runs) > 1:
            with ProcessPoolExecutor(min(workers, len(runs)), mp_context=get_context("spawn")) as pool:
                waiting = [pool.submit(_write, source, folder, shards, run) for run in runs]
                for future in waiting:
                    future.result()
        else:
            for run in runs:
                _write(source, folder, shards, run)
    mapped = {
        name: map_array(
            folder / _FILES[name],
            dtype,
            (source.n_frames, *shape),
            remove_with=folder if temporary and name == "positions" else None,
        )
        for name, (dtype, shape) in arrays.items()
    }
    return Trajectory(
        **mapped,
        topology=source.topology,
        masses=source.masses,
        bonds=source.bonds,
        bond_source=source.bond_source,
        segments=source.segments,
        units=source.units,
        selection=source.selection,
        source=source.source,
        source_hash=source_hash.result(),
        skipped=source.skipped,
    )


def _layout(source: TrajectorySource) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The arrays of the store: type of the numbers, and shape for one frame."""
    arrays: dict[str, tuple[str, tuple[int, ...]]] = {"positions": ("<f4", (source.n_atoms, source.dims))}
    if source.has_box:
        arrays["box"] = ("<f4", (3, 3))
    if source.has_times or source.time_step is not None:
        arrays["times"] = ("<f8", ())
    if source.has_weights:
        arrays["weights"] = ("<f8", ())
    return arrays


def _shards(source: TrajectorySource) -> list[Shard]:
    size = max(1, _SHARD_BYTES // (4 * source.n_atoms * source.dims))
    shards, start = [], 0
    for index, length in enumerate(source.segments):
        for first in range(0, length, size):
            count = min(size, length - first)
            shards.append(Shard(span=index, first=first, n_frames=count, start=start + first))
        start += length
    return shards


def _begun(
    source: TrajectorySource,
    folder: Path,
    arrays: dict[str, tuple[str, tuple[int, ...]]],
    shards: list[Shard],
) -> set[int]:
    """Makes the folder ready; the shards that lie in it already, whole."""
    manifest = {
        "format": "polyvae frames",
        "version": _VERSION,
        "identity": _identity(source),
        "arrays": {name: [dtype, [source.n_frames, *shape]] for name, (dtype, shape) in arrays.items()},
        "shards": [[shard.start, shard.n_frames] for shard in shards],
    }
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == manifest and all((folder / _FILES[name]).is_file() for name in arrays):
        return _intact(folder, arrays, shards)
    if folder.exists() and any(folder.iterdir()) and not (folder / _MANIFEST).is_file():
        raise InputError(
            f"{folder} is not empty and holds no frames of polyvae. Name another folder with `store`, or empty it."
        )
    _check_space(folder, arrays, source.n_frames)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (_DONE, _MANIFEST, *_FILES.values()):
        (folder / name).unlink(missing_ok=True)
    # First of all: it makes the folder known as one of polyvae to a second try.
    with atomic_path(folder / _MANIFEST, overwrite=True) as path:
        path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    for name, (dtype, shape) in arrays.items():
        with (folder / _FILES[name]).open("wb") as file:
            file.truncate(source.n_frames * _row_bytes(dtype, shape))
    return set()


def _identity(source: TrajectorySource) -> dict[str, Any]:
    """What tells these frames from any others, without reading them."""
    digest = hashlib.sha256()
    for array in (source.atoms, source.bonds, *source.arrays):
        digest.update(b"none" if array is None else np.ascontiguousarray(array).data)
    stamps = [file.stamp for file in source.files if file.stamp is not None]
    return {
        "files": [[str(stamp.path.resolve()), stamp.size, stamp.modified] for stamp in stamps],
        "spans": [[span.start, span.stop, span.stride] for span in source.spans],
        "chosen": digest.hexdigest(),
        "scale": source.scale,
        "time_step": source.time_step,
        "made_whole": source.imaging is not None,
    }


def _check_space(folder: Path, arrays: dict[str, tuple[str, tuple[int, ...]]], n_frames: int) -> None:
    needed = n_frames * sum(_row_bytes(dtype, shape) for dtype, shape in arrays.values())
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise OutputError(
            f"The frames need {needed / 1e9:.1f} GB of disk in {folder}, where {free / 1e9:.1f} GB are free. Name a "
            "folder on another disk, take fewer atoms or frames, or raise `memory`."
        )


def _row_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))


def _intact(folder: Path, arrays: dict[str, tuple[str, tuple[int, ...]]], shards: list[Shard]) -> set[int]:
    """The shards that have a line in the list, and the bytes that it promises."""
    promised: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for line in (folder / _DONE).read_text(encoding="utf-8").splitlines():
            # The last line may have been cut short.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                promised[entry["shard"]] = entry["sha256"]

    def is_intact(index: int) -> bool:
        digests, shard = [], shards[index]
        for name, (dtype, shape) in arrays.items():
            size = _row_bytes(dtype, shape)
            with (folder / _FILES[name]).open("rb") as file:
                file.seek(shard.start * size)
                digests.append(hashlib.sha256(file.read(shard.n_frames * size)))
        return _joined(digests) == promised[index]

    with ThreadPoolExecutor(2) as pool:
        known = [index for index in promised if index < len(shards)]
        whole = {index for index, intact in zip(known, pool.map(is_intact, known), strict=True) if intact}
    # Without lines that were cut short or that promise what is not there.
    with atomic_path(folder / _DONE, overwrite=True) as path:
        path.write_text("".join(_line(index, promised[index]) for index in sorted(whole)), encoding="utf-8")
    return whole


def _write(source: TrajectorySource, folder: Path, shards: list[Shard], run: list[int]) -> None:
    """Reads shards of one span that follow one another, and writes them."""
    arrays = _layout(source)
    first, last = shards[run[0]], shards[run[-1]]
    part = source.spans[first.span].part(first.first, last.first + last.n_frames)
    frames = read_ahead(_checked(replace(source, spans=(part,))))
    with _disk_errors(folder), contextlib.ExitStack() as stack:
        stack.callback(frames.close)  # type: ignore[attr-defined]
        files = {name: stack.enter_context((folder / _FILES[name]).open("r+b")) for name in arrays}
        for name, (dtype, shape) in arrays.items():
            files[name].seek(first.start * _row_bytes(dtype, shape))
        rest: RawFrames | None = None
        for index in run:
            missing = shards[index].n_frames
            digests = {name: hashlib.sha256() for name in arrays}
            while missing:
                block = rest if rest is not None else next(frames)
                taken, rest = block[:missing], block[missing:] if len(block) > missing else None
                missing -= len(taken)
                for name, (dtype, _) in arrays.items():
                    numbers = np.ascontiguousarray(getattr(taken, name), dtype).reshape(-1).view(np.uint8)
                    files[name].write(numbers.data)
                    digests[name].update(numbers.data)
            for file in files.values():
                file.flush()
            # One short line at the end of the file: processes that write at once do not disturb each other.
            with (folder / _DONE).open("a", encoding="utf-8") as done:
                done.write(_line(index, _joined(digests.values())))


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Whatever the disk refuses as an `OutputError`; reading the source raises none of these."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"The frames cannot be kept in {folder}: {error.strerror or error}. Free some space there, raise the "
            "file-size limit (`ulimit -f`), or name a folder on another disk with `store`; in a folder so named the "
            "frames that are written already stay, and the next try goes on with them."
        ) from error


def _line(index: int, sha256: str) -> str:
    return json.dumps({"shard": index, "sha256": sha256}) + "\n"


def _joined(digests: Iterable[Any]) -> str:
    """The hash of the hashes of the arrays of a shard, in their order."""
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def _checked(source: TrajectorySource) -> Iterator[RawFrames]:
    for span, first, raw in source.raw_chunks(source.chunk):
        check_finite(raw, span, first)
        yield raw
