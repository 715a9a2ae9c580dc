"""The mean conformation that a decoder of internal coordinates describes: directions from positions, then whole bonds.

Decoded as angles and torsions, an early one swings the rest of the chain, and what it should be depends on all others
(the lever arm). Decoded as positions, every atom is told by itself, but bonds shrink where directions are uncertain. So
the decoder gives positions, of which only angles and torsions are read off, and of these only those that change with
the shape. The others, stiff ones, and lengths are those of the data's mean: the hydrogens of a methyl group that turns
freely have their mean on its axis, but never lie there. The decoder corrects all of them, which lets it fold a chain
where its positions do not; lengths and angles stay within the range of the data, wherever in latent space it is asked.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae.features.building import measure
from polyvae.features.internal import InternalCoordinates


def n_mean_outputs(representation: InternalCoordinates) -> int:
    """Outputs of the decoder that describe the mean conformation: positions, and a correction for each coordinate."""
    return representation.cartesian.n_features + representation.n_features


def mean_conformation(
    representation: InternalCoordinates, outputs: Float[Array, " outputs"]
) -> Float[Array, " values"]:
    """The vector of internal coordinates that the outputs describe.

    Args:
        representation: of the internal coordinates.
        outputs: scaled canonical positions, then one correction for each length and angle (on the logistic scale)
            and each torsion (radians, for stiff ones standard deviations); all zero for the mean positions of the data
            with stiff coordinates at their mean.
    """
    n_positions = representation.cartesian.n_features
    n_stiff = representation.n_stiff
    corrections = outputs[n_positions:]
    order = np.asarray(representation.tree.atoms)
    frame = representation.cartesian.positions(outputs[:n_positions])[order]
    _, angles, torsions = measure(representation.tree, frame)
    mean, low, high = representation.mean, representation.low, representation.high
    lengths = mean[: representation.n_lengths]
    is_stiff, spread = representation.is_stiff, representation.torsion_scale
    angles = jnp.where(is_stiff[representation.n_lengths : n_stiff], mean[representation.n_lengths :], angles)
    turned = jnp.where(
        is_stiff[n_stiff:],
        representation.torsion_mean + spread * corrections[n_stiff:],
        torsions + corrections[n_stiff:],
    )
    width = high - low
    # A logistic curve from the lowest to the highest value, through the mean with the slope of the identity.
    share = (mean - low) / width
    slope = share * (1.0 - share) * width
    offset = (jnp.concatenate([lengths, angles]) - mean) / slope + corrections[:n_stiff]
    stiff = low + width * jax.nn.sigmoid(jnp.log(share / (1.0 - share)) + offset)
    return jnp.concatenate([(stiff - mean) / representation.scale, turned])
