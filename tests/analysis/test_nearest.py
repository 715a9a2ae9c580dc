"""Nearest frames against a search with every pair's RMSD."""

import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.analysis import nearest, nearest_frames
from polyvae.preprocessing import kabsch_rmsd


@pytest.mark.parametrize("dims", [2, 3])
def test_the_nearest_frame_is_that_of_a_search_over_all_pairs(rng, dims, monkeypatch):
    monkeypatch.setattr(nearest, "_TARGETS", 7)  # several chunks, the last of which is filled up
    frames = rng.normal(size=(31, 6, dims)).astype(np.float32)
    found = rng.normal(size=(4, 6, dims)).astype(np.float32)
    index, rmsd = nearest_frames(found, frames)
    for each, conformation in enumerate(found):
        everything = kabsch_rmsd(jnp.asarray(frames), jnp.asarray(conformation))
        assert index[each] == int(jnp.argmin(everything))
        assert rmsd[each] == pytest.approx(float(everything.min()), rel=1e-5)


def test_a_turned_copy_is_found_at_distance_zero_and_a_mirror_image_is_not(rng):
    frames = rng.normal(size=(9, 6, 3)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    copies = np.stack([frames[5] @ turn.T + 2.0, frames[5] * [1, 1, -1]]).astype(np.float32)
    index, rmsd = nearest_frames(copies, frames)
    assert index[0] == 5
    # float32 of coordinates near 3
    assert rmsd[0] < 1e-5
    assert rmsd[1] > 0.1
