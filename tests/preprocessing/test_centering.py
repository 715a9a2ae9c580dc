import jax.numpy as jnp
import numpy as np

from polyvae.preprocessing import center, center_of_mass


def test_center_of_mass_of_two_beads_lies_by_the_heavier():
    positions = jnp.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    np.testing.assert_allclose(center_of_mass(positions, jnp.array([1.0, 3.0])), [3, 0, 0])
    np.testing.assert_allclose(center_of_mass(positions), [2, 0, 0])


def test_centered_frame_far_from_the_origin_keeps_its_digits(rng):
    frame = rng.integers(-8, 8, (9, 3)).astype(np.float32) / 8
    moved = center(jnp.asarray(frame + np.float32(1024)))
    np.testing.assert_allclose(moved, frame - frame.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(center(moved).mean(axis=0), 0, atol=1e-6)
