import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from polyvae.errors import InputError
from polyvae.preprocessing import align, fit_alignment, track_principal_axes


def tumbling_body(rng, dims, n_frames=200):
    """A body that tumbles slowly while its shape breathes, so that signs flip and moments cross."""
    cloud = rng.normal(size=(40, dims)) * [1.2, 1.0, 0.8][:dims]
    phase = np.linspace(0, 2 * np.pi, n_frames)
    breathing = np.stack([1 + 0.6 * np.sin(phase + shift) for shift in (0, 2, 4)][:dims], axis=-1)
    vectors = phase[:, None] * np.array([0.3, 0.5, 0.8])
    turns = Rotation.from_rotvec(vectors * ([1, 1, 1] if dims == 3 else [0, 0, 1])).as_matrix()[
        :, :dims, :dims
    ]
    return np.einsum("nba,nia->nib", turns, cloud * breathing[:, None, :]).astype(np.float32)


def largest_step(frames):
    return np.sqrt(np.sum(np.diff(frames, axis=0) ** 2, axis=2).max(axis=1)).max()


@pytest.mark.parametrize("dims", [2, 3])
def test_tracked_axes_do_not_jump_where_the_single_frame_rule_does(rng, dims):
    frames = tumbling_body(rng, dims)
    tracked, report = track_principal_axes(frames)
    alone = align(fit_alignment(frames, method="principal_axes")[0], frames)
    assert largest_step(alone) > 1
    assert largest_step(tracked) < 0.5 * largest_step(alone)
    assert report.n_frames == len(frames)
    distances = [np.linalg.norm(x[:, 0] - x[:, 1], axis=-1) for x in (frames, tracked)]
    np.testing.assert_allclose(distances[0], distances[1], rtol=1e-4)


def test_rotating_rigid_body_stands_still(rng):
    cloud = rng.normal(size=(8, 3)) * [3, 2, 1]
    turns = Rotation.from_rotvec(np.linspace(0, 6, 100)[:, None] * np.array([0.2, 0.7, 0.4])).as_matrix()
    tracked, _ = track_principal_axes((cloud @ np.swapaxes(turns, 1, 2)).astype(np.float32))
    np.testing.assert_allclose(tracked, np.broadcast_to(tracked[0], tracked.shape), atol=2e-5)


def test_memory_ends_at_a_join(rng):
    frames = tumbling_body(rng, 3)
    joined, _ = track_principal_axes(frames, segments=(120, 80))
    second, _ = track_principal_axes(frames[120:])
    np.testing.assert_allclose(joined[120:], second, atol=1e-5)


def test_segments_must_sum_to_the_frames(rng):
    frames = tumbling_body(rng, 2, n_frames=10)
    with pytest.raises(InputError, match="`segments` must be positive and sum to the number of frames, 10"):
        track_principal_axes(frames, segments=(4, 4))
    with pytest.raises(InputError, match="`segments` must be positive"):
        track_principal_axes(frames, segments=(10, 0))
