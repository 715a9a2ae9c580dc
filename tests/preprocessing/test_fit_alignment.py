import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from polyvae.errors import InputError
from polyvae.preprocessing import align, fit_alignment
from polyvae.preprocessing.align import padded_chunks


def rotated_copies(rng, n_frames=40, noise=0.0, n_atoms=7):
    cloud = rng.normal(size=(n_atoms, 3)) * [3, 2, 1]
    turns = Rotation.random(n_frames, rng=rng).as_matrix()
    frames = cloud + noise * rng.normal(size=(n_frames, n_atoms, 3))
    return cloud, (frames @ np.swapaxes(turns, 1, 2) + rng.normal(size=(n_frames, 1, 3))).astype(np.float32)


def distances(frame):
    return np.linalg.norm(frame[:, None] - frame[None], axis=-1)


def test_procrustes_mean_of_rotated_copies_is_the_cloud(rng):
    cloud, frames = rotated_copies(rng)
    alignment, report = fit_alignment(frames)
    np.testing.assert_allclose(distances(np.asarray(alignment.reference)), distances(cloud), atol=2e-5)
    np.testing.assert_allclose(
        align(alignment, frames), np.broadcast_to(alignment.reference, frames.shape), atol=3e-5
    )
    assert report.converged
    assert report.n_degenerate == 0
    assert report.rmsd_to_reference < 1e-5


def test_procrustes_mean_is_the_mean_of_the_aligned_frames(rng):
    _, frames = rotated_copies(rng, noise=0.3)
    alignment, report = fit_alignment(frames, weights=np.arange(1, 8))
    aligned = align(alignment, frames)
    assert report.iterations > 1
    np.testing.assert_allclose(aligned.mean(axis=0), alignment.reference, atol=1e-4)
    deviation = np.sqrt(np.mean(np.sum((aligned - np.asarray(alignment.reference)) ** 2, axis=2), axis=1))
    assert report.rmsd_to_reference == pytest.approx(deviation.mean(), rel=1e-5)


def test_the_weighted_procrustes_mean_is_the_weighted_mean_of_the_aligned_frames(rng):
    _, frames = rotated_copies(rng, noise=0.5)
    weights = rng.exponential(size=40)
    alignment, report = fit_alignment(frames, frame_weights=weights)
    aligned = align(alignment, frames)
    assert report.converged
    mean = np.average(aligned, axis=0, weights=weights)
    np.testing.assert_allclose(mean - mean.mean(axis=0), alignment.reference, atol=1e-4)
    deviation = np.sqrt(np.mean(np.sum((aligned - np.asarray(alignment.reference)) ** 2, axis=2), axis=1))
    assert report.rmsd_to_reference == pytest.approx(np.average(deviation, weights=weights), rel=1e-5)


def test_frame_weights_obey_their_laws(rng):
    _, frames = rotated_copies(rng, noise=0.5)
    # As many frames as copies: one compiled kernel for all of them.
    counts = rng.permutation(np.repeat([0, 1, 2], [10, 20, 10]))

    def shape(frames: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        alignment, report = fit_alignment(frames, frame_weights=weights)
        # Another start may turn the mean; its distances stay.
        return np.append(distances(np.asarray(alignment.reference)).ravel(), report.rmsd_to_reference)

    weighted, plain = shape(frames, counts), shape(frames, None)
    # The mean comes to rest within 1e-5 of its size, which is about 6, and reaches it to a few of these.
    near = {"atol": 5e-4, "rtol": 0.0}
    np.testing.assert_allclose(shape(np.repeat(frames, counts, axis=0), None), weighted, **near)
    np.testing.assert_allclose(shape(frames, 1e-9 * counts), weighted, **near)
    np.testing.assert_allclose(shape(frames, np.full(40, 0.2)), plain, **near)
    garbage = np.where((counts == 0)[:, None, None], 100.0 * frames[::-1], frames)
    np.testing.assert_allclose(shape(garbage, counts), weighted, **near)
    assert np.abs(weighted - plain).max() > 0.02


def test_weights_of_streamed_frames_are_dealt_out_in_order(rng):
    _, frames = rotated_copies(rng, noise=0.5)
    weights = np.r_[np.zeros(20), rng.exponential(size=20)]
    # Without any frame that counts, the first chunk starts nothing.
    streamed, report = fit_alignment(lambda: iter([frames[:20], frames[20:]]), frame_weights=weights)
    alone, alone_report = fit_alignment(frames[20:], frame_weights=weights[20:])
    np.testing.assert_allclose(streamed.reference, alone.reference, atol=1e-6)
    assert report.n_frames == 40
    assert report.rmsd_to_reference == pytest.approx(alone_report.rmsd_to_reference, rel=1e-6)


def test_kabsch_takes_the_first_frame_of_a_weight_above_zero(rng):
    _, frames = rotated_copies(rng, noise=0.5)
    alignment, _ = fit_alignment(frames, method="kabsch", frame_weights=np.r_[0.0, 0.0, np.ones(38)])
    np.testing.assert_allclose(alignment.reference, frames[2] - frames[2].mean(axis=0), atol=1e-6)


def test_a_straight_first_frame_does_not_spoil_the_mean(rng):
    _, frames = rotated_copies(rng, noise=0.1)
    frames[0] = np.linspace(-3, 3, 7)[:, None] * np.array([1, 0, 0])
    _, report = fit_alignment(frames)
    assert report.converged
    assert report.rmsd_to_reference < 0.3


def test_chunks_from_a_function_give_the_same_as_an_array(rng):
    _, frames = rotated_copies(rng, noise=0.3)
    whole, report = fit_alignment(frames)
    streamed, streamed_report = fit_alignment(lambda: iter([frames[:25], frames[25:25], frames[25:]]))
    # The first chunk offers another starting frame, so the mean may be turned.
    np.testing.assert_allclose(
        distances(np.asarray(whole.reference)), distances(np.asarray(streamed.reference)), atol=1e-3
    )
    assert streamed_report.n_frames == report.n_frames == 40
    assert streamed_report.rmsd_to_reference == pytest.approx(report.rmsd_to_reference, rel=1e-4)


def test_kabsch_takes_the_first_frame_or_the_given_one(rng):
    cloud, frames = rotated_copies(rng)
    first, _ = fit_alignment(frames, method="kabsch")
    np.testing.assert_allclose(first.reference, frames[0] - frames[0].mean(axis=0), atol=1e-6)
    given, report = fit_alignment(frames, method="kabsch", reference=cloud)
    np.testing.assert_allclose(given.reference, cloud - cloud.mean(axis=0), atol=1e-6)
    assert report.rmsd_to_reference < 1e-5


def test_align_equals_the_alignment_of_each_frame(rng):
    _, frames = rotated_copies(rng, n_frames=1100, noise=0.3)
    frames[1] = 0
    for method in ("kabsch", "principal_axes", "center"):
        alignment, _ = fit_alignment(frames, method=method, weights=np.arange(1, 8))
        single = np.asarray(alignment(jnp.asarray(frames[3])))
        aligned = align(alignment, frames)
        np.testing.assert_allclose(aligned[3], single, atol=2e-5)
        np.testing.assert_array_equal(aligned[1], 0)
        assert aligned.dtype == np.float32


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("method", ["kabsch", "principal_axes"])
def test_many_frames_at_once_equal_one_by_one(rng, method, dims):
    frames = (rng.normal(size=(1100, 6, dims)) * [3, 2, 1][:dims] + 50).astype(np.float32)
    # Symmetric along their longest axis: the first bead decides.
    frames[7::50, 3:] = 100 - frames[7::50, :3]
    alignment, _ = fit_alignment(frames, method=method, weights=[1, 2, 3, 1, 2, 3])
    one_by_one = np.asarray(jax.jit(jax.vmap(alignment))(frames))
    np.testing.assert_allclose(align(alignment, frames), one_by_one, atol=2e-4)


def test_alignment_in_place_and_into_an_array(rng):
    _, frames = rotated_copies(rng, n_frames=2100, noise=0.3)
    alignment, _ = fit_alignment(frames)
    expected, room, kept = align(alignment, frames), np.empty_like(frames), frames.copy()
    assert align(alignment, frames, out=room) is room
    np.testing.assert_array_equal(room, expected)
    np.testing.assert_array_equal(frames, kept)
    assert align(alignment, frames, out=frames) is frames
    np.testing.assert_array_equal(frames, expected)
    with pytest.raises(InputError, match=r"`out` must have shape \(2100, 7, 3\) and type float32"):
        align(alignment, frames, out=np.empty((2100, 7, 3)))


def test_two_dimensional_copies_are_aligned(rng):
    angles = rng.uniform(0, 2 * np.pi, 20)
    turns = np.stack(
        [np.stack([np.cos(angles), -np.sin(angles)], -1), np.stack([np.sin(angles), np.cos(angles)], -1)], 1
    )
    cloud = rng.normal(size=(5, 2))
    alignment, report = fit_alignment((cloud @ np.swapaxes(turns, 1, 2)).astype(np.float32))
    np.testing.assert_allclose(distances(np.asarray(alignment.reference)), distances(cloud), atol=1e-5)
    assert report.rmsd_to_reference < 1e-5


def test_degenerate_frames_are_listed(rng):
    cloud, frames = rotated_copies(rng)
    frames[5] = 0
    frames[9] = np.linspace(-1, 1, 7)[:, None] * np.array([1, 2, 3])
    _, report = fit_alignment(frames, method="kabsch", reference=cloud)
    assert {5, 9} == set(report.degenerate)
    _, report = fit_alignment(frames, method="principal_axes")
    assert {5, 9} == set(report.degenerate)
    assert np.isnan(report.rmsd_to_reference)


def test_chunks_have_one_size_and_cover_all_frames(rng):
    frames = rng.normal(size=(2100, 100, 3)).astype(np.float32)
    chunks = list(padded_chunks(frames))
    assert {len(chunk) for chunk in chunks} == {2048}
    np.testing.assert_array_equal(np.concatenate(chunks)[:2100], frames)
    np.testing.assert_array_equal(chunks[-1][-1], frames[-1])


FRAMES = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("positions", "options", "message"),
    [
        (FRAMES, {"method": "svd"}, "`method` must be one of"),
        (FRAMES, {"reference": FRAMES[0]}, "for method='kabsch' only"),
        (FRAMES, {"method": "kabsch", "reference": FRAMES[0, :4]}, r"`reference` must have shape \(5, 3\)"),
        (FRAMES, {"method": "kabsch", "reference": FRAMES[0] * np.nan}, "`reference` holds NaN"),
        (FRAMES, {"weights": [1, 1]}, r"`weights` must have shape \(5,\)"),
        (FRAMES, {"weights": [1, 1, 0, 1, 1]}, "got 0.0 for atom 2"),
        (FRAMES, {"weights": [1, 1, 1, -2, 1]}, "got -2.0 for atom 3"),
        (
            FRAMES,
            {"frame_weights": [1, 1, 1]},
            "`frame_weights` hold 3 numbers, but there are at least 4 frames",
        ),
        (
            FRAMES,
            {"frame_weights": [1] * 5, "method": "center"},
            "`frame_weights` hold 5 numbers, but there are 4",
        ),
        (FRAMES, {"frame_weights": [0] * 4}, "`frame_weights` are zero for all 4 frames"),
        (FRAMES, {"frame_weights": [1, 1, -2, 1]}, "`frame_weights` must be .* got -2.0 for frame 2"),
        (FRAMES, {"chunk": 0}, "`chunk` must be at least 1"),
        (FRAMES[0], {}, r"shape \(frames, atoms, dims\)"),
        (FRAMES[:, :, :1], {}, r"\(frames, atoms, 2\) or \(frames, atoms, 3\)"),
        (FRAMES[:0], {}, "hold no frame"),
        (np.where(np.arange(4)[:, None, None] == 2, np.nan, FRAMES), {}, "NaN or infinity, first at frame 2"),
        (lambda: iter([FRAMES, FRAMES[:, :4]]), {"method": "center"}, r"from frame 4 on .* is \(4, 3\)"),
    ],
)
def test_unusable_input_is_refused(positions, options, message):
    with pytest.raises(InputError, match=message):
        fit_alignment(positions, **options)


def test_align_refuses_other_atoms_and_dimensions():
    alignment, _ = fit_alignment(FRAMES, method="center")
    with pytest.raises(InputError, match="fitted to 5 atoms"):
        align(alignment, FRAMES[:, :4])
    alignment, _ = fit_alignment(FRAMES, method="kabsch")
    with pytest.raises(InputError, match="must have 3 dimensions"):
        align(alignment, FRAMES[:, :, :2])
