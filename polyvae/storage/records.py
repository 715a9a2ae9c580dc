"""Result records as NPZ files and back, and the latent trajectory as CSV; nothing is pickled.

Each array of a record is an array of the file, under the field's name (`model.per_frame` for a record inside
a record), so that `numpy.load` is all that another program needs. The entry `record` holds the rest as JSON.
"""

import csv
import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from polyvae.analysis import (
    Autocorrelation,
    ChapmanKolmogorov,
    Determined,
    DiscreteTrajectories,
    DistanceMarginals,
    FreeEnergyBasins,
    FreeEnergyDifference,
    FreeEnergySurface,
    ImpliedTimescales,
    LatentMeaning,
    LatentTrajectory,
    LikelihoodComparison,
    LinearMaps,
    LogLikelihood,
    MinimumFreeEnergyPath,
    OptimizedConformations,
    RateDistortion,
    ReconstructionReport,
    Reproducibility,
    RunOverview,
    Sensitivity,
    ShownSurface,
    SlowModes,
    StructureSet,
    VampComparison,
    VampScore,
)
from polyvae.errors import InputError
from polyvae.storage.topology_json import topology_from_json, topology_to_json
from polyvae.training import Diagnosis, History, Split
from polyvae.trajectory import SkippedFrames, Trajectory, atomic_path
from polyvae.trajectory.mapped import chunk_rows, mapping_of, row_chunks
from polyvae.units import Units

_FORMAT_VERSION = 1
_PIECE_BYTES = 16_000_000
_LINES_AT_ONCE = 10_000
_RECORDS = {
    kind.__name__: kind
    for kind in (
        Autocorrelation,
        ChapmanKolmogorov,
        DiscreteTrajectories,
        ImpliedTimescales,
        Reproducibility,
        Sensitivity,
        SlowModes,
        VampComparison,
        VampScore,
        Determined,
        Diagnosis,
        DistanceMarginals,
        FreeEnergyBasins,
        FreeEnergyDifference,
        FreeEnergySurface,
        History,
        LatentMeaning,
        LatentTrajectory,
        LikelihoodComparison,
        LinearMaps,
        LogLikelihood,
        MinimumFreeEnergyPath,
        OptimizedConformations,
        RateDistortion,
        ReconstructionReport,
        RunOverview,
        ShownSurface,
        SkippedFrames,
        Split,
        StructureSet,
        Trajectory,
        Units,
    )
}
Record = TypeVar("Record")


def save_record(record: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a result record as NPZ.

    Args:
        record: a result of `polyvae.analysis`, or the `history` or `split` of a fit.
        path: the file to write, with the suffix .npz.
        overwrite: whether an existing file may be replaced.

    Returns:
        The path.

    Raises:
        InputError: if the record is of no known kind, the suffix is another, or the file cannot be written.
    """
    target = Path(path)
    if type(record).__name__ not in _RECORDS:
        raise InputError(f"A {type(record).__name__} is not a result record; known: {', '.join(_RECORDS)}.")
    if target.suffix != ".npz":
        raise InputError(f"{target}: result records are written as .npz; got {target.suffix or 'no suffix'}.")
    arrays: dict[str, np.ndarray] = {}
    content = {"format_version": _FORMAT_VERSION, "record": _encoded(record, "", arrays)}
    arrays["record"] = np.array(json.dumps(content))
    with atomic_path(target, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        _write_npz(file, arrays)
    return target


def _write_npz(file: IO[bytes], arrays: dict[str, np.ndarray]) -> None:
    """As `numpy.savez_compressed`, but of arrays mapped from a disk a piece at a time is in memory."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                if mapping_of(array) is None:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
                    continue
                np.lib.format.write_array_header_1_0(entry, np.lib.format.header_data_from_array_1_0(array))
                for rows in row_chunks(array, chunk_rows(array, _PIECE_BYTES)):
                    entry.write(np.ascontiguousarray(rows).data)


def load_record(path: str | os.PathLike[str], kind: type[Record]) -> Record:
    """The result record in an NPZ file.

    Args:
        path: a file written by `save_record`.
        kind: the class expected, such as `LatentTrajectory`.

    Raises:
        InputError: if the file is missing, damaged, of a newer version or holds another record.
    """
    try:
        # Opened here, since numpy leaves the file open where it is not whole.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        content = json.loads(str(arrays["record"]))
        version, tree = content["format_version"], content["record"]
    except FileNotFoundError as error:
        raise InputError(f"The file {path} does not exist.") from error
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a result record of polyvae, or is damaged: {error}.") from error
    if version > _FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}, newer than {_FORMAT_VERSION}. Upgrade polyvae."
        )
    if tree.get("kind") != kind.__name__:
        raise InputError(f"{path} holds a {tree.get('kind')}, not a {kind.__name__}.")
    try:
        return _decoded(tree, arrays)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} does not hold a whole {kind.__name__}: {error}.") from error


def save_latent_csv(
    latent: LatentTrajectory, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a latent trajectory as CSV: frame, time (may be empty), z1, z2, ..., sd1, sd2, ..."""
    target = Path(path)
    n_latent = latent.mean.shape[1]
    names = [f"{stem}{index + 1}" for stem in ("z", "sd") for index in range(n_latent)]
    with (
        atomic_path(target, overwrite=overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["frame", "time", *names])
        frame = 0
        parts = (row_chunks(part, _LINES_AT_ONCE) for part in (latent.mean, latent.scale))
        for mean, scale in zip(*parts, strict=True):
            times = [""] * len(mean)
            if latent.times is not None:
                times = [f"{time:.10g}" for time in latent.times[frame : frame + len(mean)]]
            for time, row in zip(times, np.concatenate([mean, scale], axis=1), strict=True):
                writer.writerow([frame, time, *(f"{value:.9g}" for value in row)])
                frame += 1
    return target


def _encoded(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """A JSON tree for a value, whose arrays go to `arrays` under dotted names."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return {"tuple": [_encoded(item, f"{name}.{index}", arrays) for index, item in enumerate(value)]}
    kind = type(value).__name__
    if kind == "Topology":
        return {"topology": topology_to_json(value)}
    prefix = f"{name}." if name else ""
    fields = {
        field.name: _encoded(getattr(value, field.name), prefix + field.name, arrays)
        for field in dataclasses.fields(value)
    }
    return {"kind": kind, "fields": fields}


def _decoded(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "tuple" in tree:
        return tuple(_decoded(item, arrays) for item in tree["tuple"])
    if "topology" in tree:
        return topology_from_json(tree["topology"])
    fields = {name: _decoded(value, arrays) for name, value in tree["fields"].items()}
    return _RECORDS[tree["kind"]](**fields)
