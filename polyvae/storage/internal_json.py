"""What a model of internal coordinates holds beside arrays and settings: the bond tree, and pairs of atoms."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from polyvae.features import BondTree, Cartesian, FreeDirections, InternalCoordinates
from polyvae.vae import ConformationModel, Inputs, ModelConfig, SystemInfo
from polyvae.vae.inputs import InternalInputs
from polyvae.vae.likelihoods import Autoregressive, Likelihood, LocalView, WithCartesianTerm
from polyvae.vae.vae import factorized_likelihood


@dataclass(frozen=True, kw_only=True, eq=False)
class InternalOutline:
    """The parts of a model of internal coordinates with the right structure and shapes, and zeros for numbers."""

    representation: InternalCoordinates
    likelihood: Likelihood
    inputs: Inputs


def internal_to_json(model: ConformationModel) -> dict[str, Any] | None:
    """The static parts of a model of internal coordinates, None for other models."""
    if not isinstance(model.representation, InternalCoordinates):
        return None
    likelihood, inputs = model.vae.likelihood, model.vae.inputs
    assert isinstance(likelihood, WithCartesianTerm)
    assert isinstance(inputs, InternalInputs)
    return {"tree": dataclasses.asdict(model.representation.tree), "pairs": inputs.pairs}


def internal_outline(
    content: dict[str, Any] | None, arrays: dict[str, np.ndarray], config: ModelConfig, system: SystemInfo
) -> InternalOutline | None:
    """The outline that the static parts and the shapes of the arrays imply, None where there are no static parts.

    Raises:
        KeyError: if a part is missing.
        TypeError: if a part is of another type.
        ValueError: if the parts contradict the settings or the system.
    """
    if (content is None) != (config.representation == "cartesian"):
        raise ValueError(f"the settings say representation={config.representation!r}")
    if content is None:
        return None
    tree = BondTree(**{name: _tuples(value) for name, value in content["tree"].items()})
    if tree.n_atoms != system.n_atoms:
        raise ValueError(f"the bond tree has {tree.n_atoms} atoms, the model {system.n_atoms}")
    n_atoms, dims = system.n_atoms, system.dims
    n_free = n_atoms * dims - dims * (dims + 1) // 2
    n_stiff = n_free - (n_atoms - dims)
    stiff = jnp.zeros(n_stiff)
    torsions = jnp.zeros(n_atoms - dims)
    rings = jnp.zeros(len(tree.ring_bonds))
    representation = InternalCoordinates(
        mean=stiff,
        scale=stiff,
        low=stiff,
        high=stiff,
        torsion_mean=torsions,
        torsion_scale=torsions,
        ring_mean=rings,
        ring_scale=rings,
        cartesian=blank_cartesian(len(arrays["representation.cartesian.mean"]), n_atoms, dims),
        reference=jnp.zeros((n_atoms, dims)),
        tree=tree,
    )
    if config.likelihood == "autoregressive":
        prefix = "vae.likelihood.internal"
        layers = range(len(config.placement_hidden) + 1)

        def blank(name: str, dtype: DTypeLike = float) -> Array:
            return jnp.zeros(arrays[f"{prefix}.{name}"].shape, dtype)

        view, guide = (
            LocalView(
                mean=blank(f"{name}.mean"),
                scale=blank(f"{name}.scale"),
                atoms=blank(f"{name}.atoms", jnp.int32),
            )
            for name in ("view", "guide")
        )
        internal = Autoregressive(
            representation=representation,
            view=view,
            guide=guide,
            weights=tuple(blank(f"weights[{layer}]") for layer in layers),
            biases=tuple(blank(f"biases[{layer}]") for layer in layers),
            context_weights=blank("context_weights"),
            n_components=config.placement_components,
        )
    else:
        internal = factorized_likelihood(representation)
    moments = jnp.zeros(arrays["vae.inputs.mean"].shape)
    return InternalOutline(
        representation=representation,
        likelihood=WithCartesianTerm(internal, representation, config.cartesian_weight),
        inputs=InternalInputs(
            representation=representation, mean=moments, scale=moments, pairs=_tuples(content["pairs"])
        ),
    )


def blank_cartesian(n_features: int, n_atoms: int, dims: int) -> Cartesian:
    """A Cartesian representation of the right shapes."""
    n_removed = n_atoms * dims - n_features
    return Cartesian(
        directions=FreeDirections(
            reflectors=jnp.zeros((n_atoms * dims, n_removed)), mixing=jnp.zeros((n_removed, n_removed))
        ),
        mean=jnp.zeros(n_features),
        scale=jnp.zeros(n_features),
        n_atoms=n_atoms,
    )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
