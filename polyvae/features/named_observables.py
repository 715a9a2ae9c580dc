"""Observables by name, or from a user's own function: what optimization and paths take, with the unit of the value.

    radius_of_gyration          with the masses of the system
    end_to_end_distance         first to last atom
    asphericity                 0 a ball, 1 a rod; with the masses of the system
    distance:3-17               of two atoms, counted from 0
    torsion:4-6-8-14            of four atoms, radians from -pi to pi; three dimensions only
    contacts                    smooth number of pairs closer than 0.45 nm (1.5 σ in reduced units)
    contacts:0.8                the same for another distance
    contacts:r0=0.3,d0=0.5,n=8  every argument of `polyvae.features.contacts`

Contacts are counted among pairs at least three atoms apart in the sequence; neighbors along the chain always touch.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._batching import map_batched
from polyvae._typing import Frame
from polyvae.errors import InputError
from polyvae.features.observables import (
    asphericity,
    contacts,
    distance,
    end_to_end_distance,
    radius_of_gyration,
    torsion,
)
from polyvae.units import Units

_CONTACT_DISTANCE = {"molecular": 0.45, "reduced": 1.5}
_APART = 3
_BLOCK = 256


class Observable(eqx.Module):
    """One number of a conformation.

    Attributes:
        function: positions of one frame, shape (atoms, dims), to that number.
        name: as on the command line.
        unit: of the value, empty where there is none or it is not known.
        period: of the value, or None where it is not periodic.
    """

    function: Callable[[Frame], Any]
    name: str = eqx.field(static=True)
    unit: str = eqx.field(static=True, default="")
    period: float | None = eqx.field(static=True, default=None)

    def __call__(self, frame: Frame) -> Float[Array, ""]:
        """Value of one frame."""
        return jnp.asarray(self.function(frame), frame.dtype)

    @property
    def label(self) -> str:
        """Name and unit as they stand on an axis."""
        words = self.name.replace("_", " ").replace(":", " ", 1)
        return f"{words} ({self.unit})" if self.unit else words

    def of(self, positions: np.ndarray) -> np.ndarray:
        """Values of many frames, shape (frames,)."""
        return np.asarray(_values(self, jnp.asarray(positions, jnp.result_type(float))))


OBSERVABLE_NAMES = (
    "radius_of_gyration",
    "end_to_end_distance",
    "asphericity",
    "contacts",
    "distance:I-J",
    "torsion:I-J-K-L",
)
"""The names that `observable_of` knows."""


def observable_of(
    observable: Any,
    *,
    n_atoms: int,
    dims: int,
    units: Units,
    masses: np.ndarray | Array | None = None,
) -> Observable:
    """The observable that a name, or a function of one frame, stands for, checked on the shape of the system.

    Args:
        observable: one of the names above, or a JAX function of positions of shape (atoms, dims) that returns one
            number.
        n_atoms: atoms of a frame.
        dims: spatial dimensions.
        units: of the positions.
        masses: masses of the atoms, or None for equal ones.

    Raises:
        InputError: if the name is unknown, an atom does not exist, or the function fails on a frame, returns anything
            but one real number, or is not a JAX function.
    """
    if isinstance(observable, str):
        observable = _named(observable, n_atoms, dims, units, masses)
    elif not isinstance(observable, Observable):
        if not callable(observable):
            raise InputError(
                f"`observable` must be a name or a function of one frame; got a {type(observable).__name__}. "
                f"Names: {', '.join(OBSERVABLE_NAMES)}."
            )
        function: Callable[[Frame], Any] = observable
        observable = Observable(function=function, name=getattr(function, "__name__", "observable"))
    _check(observable, n_atoms, dims)
    return observable


def _named(word: str, n_atoms: int, dims: int, units: Units, masses: Any) -> Observable:
    name, _, detail = word.partition(":")
    weights = None if masses is None else jnp.asarray(masses, jnp.result_type(float))
    known = name in ("radius_of_gyration", "end_to_end_distance", "asphericity") and not detail
    if not known and name not in ("contacts", "distance", "torsion"):
        raise InputError(
            f"`observable` {word!r} is not known. Choose one of {', '.join(OBSERVABLE_NAMES)}, or pass a JAX function "
            "of the positions in Python."
        )
    if name == "radius_of_gyration":
        return Observable(
            function=eqx.Partial(radius_of_gyration, masses=weights), name=word, unit=units.length
        )
    if name == "asphericity":
        return Observable(function=eqx.Partial(asphericity, masses=weights), name=word)
    if name == "end_to_end_distance":
        return Observable(function=end_to_end_distance, name=word, unit=units.length)
    if name == "distance":
        first, second = _atoms(word, detail, n_atoms, 2)
        return Observable(
            function=eqx.Partial(distance, first=first, second=second), name=word, unit=units.length
        )
    if name == "torsion":
        if dims != 3:
            raise InputError(f"`observable` {word!r} needs three dimensions; the positions have {dims}.")
        atoms = _atoms(word, detail, n_atoms, 4)
        return Observable(
            function=eqx.Partial(torsion, atoms=atoms), name=word, unit="rad", period=2 * math.pi
        )
    rows, columns = np.triu_indices(n_atoms, _APART)
    if not len(rows):
        raise InputError(
            f"`observable` {word!r} counts pairs at least {_APART} atoms apart in the sequence, and {n_atoms} atoms "
            "have none. Choose another observable."
        )
    pairs = jnp.asarray(np.stack([rows, columns], axis=1))
    switch = _switch(word, detail, units)
    return Observable(function=eqx.Partial(contacts, pairs=pairs, **switch), name=word)


def _atoms(word: str, detail: str, n_atoms: int, count: int) -> tuple[int, ...]:
    """The atoms that a name lists."""
    kind, number = word.partition(":")[0], {2: "two", 4: "four"}[count]
    parts = detail.split("-")
    if len(parts) != count or not all(part.isdigit() for part in parts):
        example = "-".join(str(atom) for atom in (*range(count - 1), n_atoms - 1))
        raise InputError(
            f"`observable` {word!r} must name {number} atoms, counted from 0, such as {kind}:{example}."
        )
    atoms = tuple(int(part) for part in parts)
    if max(atoms) >= n_atoms or len(set(atoms)) < count:
        raise InputError(
            f"`observable` {word!r} must name {number} different atoms below n_atoms={n_atoms}. Count "
            "from 0, among the chosen atoms."
        )
    return atoms


def _switch(word: str, detail: str, units: Units) -> dict[str, float | int]:
    kinds = {"r0": float, "d0": float, "n": int, "m": int}
    switch: dict[str, float | int] = {"r0": _CONTACT_DISTANCE[units.name]}
    for part in detail.split(",") if detail else ():
        name, _, number = part.partition("=") if "=" in part else ("r0", "=", part)
        try:
            switch[name] = kinds[name](number)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"`observable` {word!r}: {part!r} is not understood. Write contacts:0.8 or "
                "contacts:r0=0.8,d0=0,n=6,m=12."
            ) from error
    return switch


def _check(observable: Observable, n_atoms: int, dims: int) -> None:
    """Raise an `InputError` unless the function turns one frame into one real number."""
    frame = jax.ShapeDtypeStruct((n_atoms, dims), jnp.result_type(float))
    try:
        answer = eqx.filter_eval_shape(partial(_answer, observable), frame)
    except InputError:
        raise
    # A user's function may fail in any way.
    except Exception as error:
        raise InputError(
            f"`observable` {observable.name!r} failed on a frame of shape {(n_atoms, dims)}: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} "
            "It has to be a function of positions made of jax.numpy operations."
        ) from error
    shape, dtype = getattr(answer, "shape", None), getattr(answer, "dtype", None)
    if shape != () or dtype is None:
        got = f"shape {shape}" if shape is not None else f"a {type(answer).__name__}"
        raise InputError(
            f"`observable` {observable.name!r} must return one number for a frame; got {got}. Sum it, or choose one "
            "entry."
        )
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(
            f"`observable` {observable.name!r} must return a real number that can be differentiated; got {dtype}. "
            "A count needs a smooth switch, as in polyvae.features.contacts."
        )


def _answer(observable: Observable, frame: Frame) -> Any:
    return observable.function(frame)


@eqx.filter_jit
def _values(observable: Observable, positions: Float[Array, "frames atoms dims"]) -> Array:
    return map_batched(observable, positions, _BLOCK)
