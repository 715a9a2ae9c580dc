"""One vocabulary of array axes for the whole package.

Axis names: `frames` (conformations), `atoms` (atoms or beads), `dims` (2 or 3), `features` (representation vector),
`latent`, `pairs`, `bonds`. NumPy arrays live where files and results are; JAX arrays where the model computes.
"""

import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int

Positions = Float32[np.ndarray, "frames atoms dims"]
"""Positions of a trajectory, nm or reduced units."""
Times = Float64[np.ndarray, " frames"]
"""Simulation time of each frame, ps or reduced units."""
Masses = Float64[np.ndarray, " atoms"]
"""Mass of each atom, Da."""
Box = Float32[np.ndarray, "frames 3 3"]
"""Box vectors of each frame as rows, nm."""
Pairs = Int[np.ndarray, "pairs 2"]
"""Zero-based atom indices of pairs (bonds, distances)."""

Frame = Float[Array, "atoms dims"]
"""One conformation."""
Frames = Float[Array, "frames atoms dims"]
"""A batch of conformations."""
Rotation = Float[Array, "dims dims"]
"""A proper rotation; positions are rows, so `positions @ rotation.T` rotates."""
FeatureVector = Float[Array, " features"]
"""One conformation as the vector that the network sees."""
FeatureVectors = Float[Array, "frames features"]
LatentVector = Float[Array, " latent"]
LatentVectors = Float[Array, "frames latent"]
