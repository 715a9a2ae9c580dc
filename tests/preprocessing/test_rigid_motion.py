import jax.numpy as jnp
import numpy as np

from polyvae.preprocessing import RigidMotion


def test_quarter_turn_about_a_center_moves_points_as_drawn():
    motion = RigidMotion(rotation=jnp.array([[0.0, -1.0], [1.0, 0.0]]), center=jnp.array([1.0, 1.0]))
    np.testing.assert_allclose(motion.apply(jnp.array([[2.0, 1.0], [1.0, 3.0]])), [[0, 1], [-2, 0]])


def test_invert_undoes_apply(rng):
    frame = jnp.asarray(rng.normal(size=(5, 2)).astype(np.float32))
    motion = RigidMotion(rotation=jnp.array([[0.6, -0.8], [0.8, 0.6]]), center=jnp.array([3.0, -2.0]))
    np.testing.assert_allclose(motion.invert(motion.apply(frame)), frame, atol=1e-6)
