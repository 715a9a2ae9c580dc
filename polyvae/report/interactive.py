"""The overview of a run as text that a script of the page reads: numbers packed small, names made harmless.

Coordinates are rounded to 65 536 steps of their range and positions to as many of the largest extent, a few hundredths
of an ångström for a protein; the page says so. Everything travels as JSON in a script element that browsers never run.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from polyvae.analysis import RunOverview, ShownSurface, StructureSet
from polyvae.report.drawing import system_of

_STEPS = 65_535
_HALF = 32_767
_REGULAR = 1e-6
"""Times that differ by less than this share of a step from equal steps are sent as equal steps."""


def interactive_data(overview: RunOverview) -> dict[str, Any]:
    """What the script of the page needs, as plain values.

    Args:
        overview: of a run.
    """
    gyration = overview.radius_of_gyration
    columns = [*np.asarray(overview.latent, np.float64).T, np.asarray(gyration, np.float64)]
    n_latent = overview.latent.shape[1]
    unit = overview.system.units.length
    return {
        "n_frames": overview.n_frames,
        "shown": len(overview.frames),
        "n_latent": n_latent,
        "names": [*(f"z{index + 1}" for index in range(n_latent)), "radius of gyration"],
        "units": [*[""] * n_latent, unit],
        "frames": _packed(overview.frames, "<u4"),
        "columns": [_column(values) for values in columns],
        "times": _times(overview.times, overview.frames),
        "segments": np.flatnonzero(np.diff(overview.segments, prepend=overview.segments[:1])).tolist(),
        "surfaces": [_surface(surface) for surface in overview.surfaces],
        "structures": [_structures(structures) for structures in overview.structures],
        "system": system_of(overview.system),
    }


def harmless_json(content: Any) -> str:
    """JSON that no name can break out of inside a script element, and that is valid JavaScript too.

    Every `<`, `>` and `&` and the two line separators of Unicode are written as escapes; lone surrogates, which have no
    UTF-8, too.
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")


def _column(values: np.ndarray) -> dict[str, Any]:
    low, high = float(values.min()), float(values.max())
    steps = np.zeros(len(values)) if high <= low else np.rint((values - low) / (high - low) * _STEPS)
    return {"low": low, "high": high, "values": _packed(steps, "<u2")}


def _times(times: np.ndarray | None, frames: np.ndarray) -> dict[str, Any] | None:
    """First time and step where the steps are equal, all times where they are not, None where there are none."""
    if times is None:
        return None
    if len(times) > 1:
        step = (times[-1] - times[0]) / (frames[-1] - frames[0])
        regular = times[0] + step * (frames - frames[0])
        if np.abs(regular - times).max() <= _REGULAR * abs(step):
            return {"first": float(regular[0] - step * frames[0]), "step": float(step)}
    return {"values": _packed(times, "<f8")}


def _surface(surface: ShownSurface) -> dict[str, Any]:
    """Energies and errors in thousandths of kT; -1 where no frame was."""
    energy, error = (
        np.where(np.isfinite(values), np.minimum(np.rint(1000.0 * values), 32_000), -1)
        for values in (surface.energy, surface.error)
    )
    return {
        "axes": list(surface.axes),
        "edges": [[float(edges[0]), float(edges[-1]), len(edges) - 1] for edges in surface.edges],
        "energy": _packed(energy, "<i2"),
        "error": _packed(error, "<i2"),
        "bad": _packed(surface.badly_sampled, "u1"),
        "blocks": surface.blocks,
    }


def _structures(structures: StructureSet) -> dict[str, Any]:
    extent = max(
        float(np.abs(values).max(initial=0.0))
        for values in (structures.positions, structures.reconstructed)
        if values is not None
    )
    scale = extent / _HALF if extent > 0 else 1.0
    return {
        "name": structures.name,
        "n": len(structures.positions),
        "scale": scale,
        "positions": _packed(np.rint(structures.positions / scale), "<i2"),
        "reconstructed": None
        if structures.reconstructed is None
        else _packed(np.rint(structures.reconstructed / scale), "<i2"),
        "latent": _rounded(structures.latent),
        "gyration": _rounded(structures.radius_of_gyration),
        "frames": None if structures.frames is None else structures.frames.tolist(),
        "rmsd": None if structures.rmsd is None else _rounded(structures.rmsd),
    }


def _rounded(values: np.ndarray) -> list[Any]:
    """Five significant digits, nested as the array is."""
    flat: Sequence[float] = [
        float(f"{value:.5g}") for value in np.asarray(values, np.float64).ravel().tolist()
    ]
    return np.array(flat).reshape(np.shape(values)).tolist()
