"""Names of the files that an export writes, and the atoms that they speak of."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polyvae.errors import InputError, OutputError
from polyvae.vae import ConformationModel


def checked_paths(
    path: str | os.PathLike[str], suffix: str, others: Sequence[str] = (), *, overwrite: bool
) -> tuple[Path, ...]:
    """The path and those beside it with other suffixes.

    Raises:
        InputError: if the suffix is another, or one of them exists and `overwrite` is False.
    """
    path = Path(path)
    if path.suffix != suffix:
        raise InputError(f"{path}: the file to write must end in {suffix}; got {path.suffix or 'no suffix'}.")
    paths = (path, *(path.with_suffix(other) for other in others))
    for existing in paths:
        if existing.exists() and not overwrite:
            raise OutputError(f"{existing} exists already. Choose another path or pass overwrite=True.")
    return paths


def checked_serials(model: ConformationModel, atoms: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Serial numbers, counted from 1, of the model's atoms in the engine, in the model's order.

    Args:
        model: whose atoms they are.
        atoms: the numbers, or None where the engine simulates the model's atoms alone.

    Raises:
        InputError: if there are too many or too few, a number is below 1, or one stands twice.
    """
    n_atoms, selection = model.system.n_atoms, model.system.selection
    if atoms is None:
        return np.arange(1, n_atoms + 1)
    serials = np.asarray(atoms)
    if serials.ndim != 1 or serials.dtype.kind not in "iu" or len(serials) != n_atoms:
        got = f"{len(serials)} entries" if serials.ndim == 1 else f"shape {serials.shape}"
        raise InputError(
            f"`atoms` must be the serial numbers of the model's {n_atoms} atoms (selection {selection!r}), counted "
            f"from 1 as the engine counts, in the model's order; got {got} of type {serials.dtype}."
        )
    if serials.min() < 1:
        raise InputError(f"`atoms` are counted from 1, as engines count; got {serials.min()}.")
    values, counts = np.unique(serials, return_counts=True)
    if counts.max() > 1:
        raise InputError(f"`atoms` must all differ; {values[counts.argmax()]} stands {counts.max()} times.")
    return serials.astype(int)


def checked_label(label: str) -> str:
    """The label of an action, which may hold letters, digits and underscores.

    Raises:
        InputError: if it holds anything else or begins with a digit.
    """
    if not label.isidentifier() or not label.isascii():
        raise InputError(
            f"`label` may hold letters, digits and underscores and must not begin with a digit; got {label!r}."
        )
    return label
