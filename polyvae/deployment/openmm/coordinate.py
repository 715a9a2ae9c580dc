"""`LatentCoordinate`: positions of a selection, as an engine has them, to latent values, energies and forces."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae.errors import InputError
from polyvae.trajectory.molecules import molecule_tree
from polyvae.trajectory.periodic import make_whole
from polyvae.vae import ConformationModel

Bias = Callable[[Array, Any], Array]
"""Energy in kJ/mol of a latent point and of parameters, a JAX function."""

_NO_BOX = np.eye(3)


class LatentCoordinate:
    """Latent values, and the energy and forces of a bias on them, from raw positions; compiled once, can be pickled.

    The mean of q(z|x), a smooth function that no rotation or translation of the molecule changes. In a periodic box its
    bonds are followed, so that it may be anywhere and in pieces.
    """

    def __init__(self, model: ConformationModel, *, periodic: bool = False) -> None:
        """The coordinate of a model.

        Args:
            model: a trained model of positions in nm.
            periodic: whether molecules may be broken across a periodic box.

        Raises:
            InputError: if the model's lengths are not in nm, or a box is to be handled and it knows no bonds.
        """
        if model.system.units != "molecular" or model.system.dims != 3:
            raise InputError(
                f"An engine's positions are in nm and three dimensions; the model was trained on {model.system.dims} "
                f"dimensions in {model.system.length_units.length}."
            )
        if (
            periodic
            and (model.system.bonds is None or len(model.system.bonds) == 0)
            and model.system.n_atoms > 1
        ):
            raise InputError(
                "The model knows no bonds, so a molecule cannot be put together across the periodic box. Train on a "
                "trajectory with bonds, or simulate without a box."
            )
        self.model, self.periodic = model, periodic
        self._compiled: dict[Any, Any] = {}

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.model.latent_dim

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "periodic": self.periodic, "_compiled": {}}

    def latent(self, positions: np.ndarray, box: np.ndarray | None = None) -> np.ndarray:
        """Latent values of one frame, shape (latent,).

        Args:
            positions: of the model's atoms, in nm, shape (atoms, 3).
            box: box vectors as rows in nm, where the coordinate is periodic.
        """
        function = self._compiled.get("latent")
        if function is None:
            function = self._compiled["latent"] = jax.jit(self._encoded)
        return np.asarray(function(*self._arguments(positions, box)))

    def energy_and_forces(
        self, bias: Bias, parameters: Any, positions: np.ndarray, box: np.ndarray | None = None
    ) -> tuple[float, Float[np.ndarray, "atoms 3"]]:
        """Energy of a bias in kJ/mol, and its forces in kJ/mol/nm.

        Args:
            bias: energy of a latent point and `parameters`; compiled once for each function.
            parameters: a tree of numbers and arrays.
            positions: of the model's atoms, in nm, shape (atoms, 3).
            box: box vectors as rows in nm, where the coordinate is periodic.
        """
        function = self._compiled.get(bias)
        if function is None:
            function = self._compiled[bias] = self._energy_and_forces(bias)
        numbers = np.asarray(function(*self._arguments(positions, box), parameters), np.float64)
        return float(numbers[0]), numbers[1:].reshape(-1, 3)

    def _energy_and_forces(self, bias: Bias) -> Callable:
        """A compiled function of positions, box and parameters; its answer is one array, for one way back from JAX."""

        def energy(positions: Array, box: Array, parameters: Any) -> Array:
            return bias(self._encoded(positions, box), parameters)

        def both(positions: Array, box: Array, parameters: Any) -> Array:
            value, gradient = jax.value_and_grad(energy)(positions, box, parameters)
            return jnp.concatenate([value[None], -gradient.reshape(-1)])

        return jax.jit(both)

    def _encoded(self, positions: Array, box: Array) -> Array:
        system = self.model.system
        if self.periodic and system.n_atoms > 1:
            assert system.bonds is not None
            tree = molecule_tree(system.bonds, system.n_atoms)
            positions = make_whole(
                positions,
                box,
                jnp.asarray(tree.jumps),
                jnp.asarray(tree.molecules),
                n_molecules=tree.n_molecules,
                anchor=tree.anchor,
            )
        return self.model.vae.encode(self.model.representation(self.model.alignment(positions))).mean

    def _arguments(self, positions: np.ndarray, box: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        dtype = np.float64 if jax.config.jax_enable_x64 else np.float32  # pyright: ignore[reportAttributeAccessIssue]
        if np.shape(positions) != (self.model.system.n_atoms, 3):
            raise InputError(
                f"`positions` must have shape ({self.model.system.n_atoms}, 3), the model's atoms; got "
                f"{np.shape(positions)}."
            )
        box = _NO_BOX if box is None else np.asarray(box)
        # Far from the origin single precision would lose digits.
        positions = np.asarray(positions, np.float64)
        return np.asarray(positions - positions[:1], dtype), box.astype(dtype)
