"""A reference structure as PDB, with as many digits as its columns hold.

The format foresees three decimals, which is 1e-4 nm. Readers take what stands in a column, and eight characters hold
up to six decimals below ten.
"""

from typing import Any

import numpy as np

from polyvae.errors import InputError

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FACTORS = 200_000
_LARGEST_SERIAL = 100_000 + 26 * 36**4 - 1


def reference_pdb(
    positions: np.ndarray, weights: np.ndarray, serials: np.ndarray, topology: Any
) -> tuple[str, np.ndarray, np.ndarray]:
    """The text of a PDB, and the positions and weights that a reader finds in it.

    Args:
        positions: shape (atoms, 3), in the unit that the reader expects (Å).
        weights: in the columns of occupancy and temperature factor, shape (atoms,).
        serials: serial numbers; above 99 999 they are written in hybrid-36.
        topology: mdtraj topology for names, or None.

    Raises:
        InputError: if a position is too large for its column.
    """
    weights = _scaled_for_column(weights)
    lines, read_positions, read_weights = [], np.zeros(positions.shape), np.zeros(len(weights))
    for index, (position, weight, serial) in enumerate(zip(positions, weights, serials, strict=True)):
        atom = None if topology is None else topology.atom(index)
        name = "X" if atom is None else atom.name[:4]
        residue = "MOL" if atom is None else atom.residue.name[:3]
        number = 1 if atom is None else (atom.residue.index + 1) % 10_000
        coordinates = [_fixed(value, 8) for value in position]
        occupancy = _fixed(weight, 6)
        lines.append(
            f"ATOM  {_hybrid36(int(serial))} {name:>4} {residue:>3} A{number:4d}    {''.join(coordinates)}"
            f"{occupancy}{occupancy}"
        )
        read_positions[index] = [float(text) for text in coordinates]
        read_weights[index] = float(occupancy)
    return "\n".join([*lines, "END", ""]), read_positions, read_weights


def _scaled_for_column(weights: np.ndarray) -> np.ndarray:
    """The weights times the factor with which rounding to six characters changes their ratios least."""
    distinct = np.unique(weights)
    if np.allclose(distinct, distinct[0], rtol=1e-6):
        return np.ones(len(weights))
    factors = np.linspace(10.0, 99.99, _FACTORS) / distinct.max()
    worst = np.zeros(_FACTORS)
    for weight in distinct:
        scaled = weight * factors
        unit = np.where(scaled >= 10.0, 1e-3, 1e-4)
        worst = np.maximum(worst, np.abs(np.round(scaled / unit) * unit / scaled - 1.0))
    return weights * factors[np.argmin(worst)]


def _fixed(value: float, width: int) -> str:
    """The number with as many decimals as a column holds."""
    for decimals in range(width - 2, -1, -1):
        text = f"{value:.{decimals}f}"
        if len(text) <= width:
            return text.rjust(width)
    raise InputError(f"A coordinate or weight of {value:.6g} does not fit into a column of a PDB file.")


def _hybrid36(serial: int) -> str:
    if serial < 100_000:
        return f"{serial:5d}"
    if serial > _LARGEST_SERIAL:
        raise InputError(f"A serial number of {serial} does not fit into a PDB file.")
    rest, text = serial - 100_000 + 10 * 36**4, ""
    while rest:
        rest, digit = divmod(rest, 36)
        text = _DIGITS[digit] + text
    return text
