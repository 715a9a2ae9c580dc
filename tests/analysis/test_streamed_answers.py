"""Answers about trajectories that stay on disk: the numbers of those in memory, taken piece by piece."""

import numpy as np
import pytest

from polyvae.analysis import (
    compare_likelihoods,
    fit_baselines,
    likelihood,
    log_likelihood,
    optimize,
    reconstruction_report,
    score_ensemble,
)
from polyvae.analysis.scoring import sides
from polyvae.analysis.scoring.coverage import held_out_frames
from polyvae.preprocessing.align import map_frames
from polyvae.trajectory import Trajectory, trajectory
from polyvae.trajectory.mapped import map_array, mapping_of
from polyvae.trajectory.sampling import counted_sample


@pytest.fixture
def on_disk(chain, tmp_path, monkeypatch) -> Trajectory:
    """The same frames in a file, taken 37 at a time."""
    path = tmp_path / "positions"
    path.write_bytes(chain.positions.tobytes())
    monkeypatch.setattr(trajectory, "_CHUNK_BYTES", 37 * chain.positions[:1].nbytes)
    return chain.replace(positions=map_array(path, np.float32, chain.positions.shape))


def test_reconstruction_is_that_of_frames_in_memory(fitted, chain, on_disk):
    pieces = reconstruction_report(fitted, on_disk)
    whole = reconstruction_report(fitted, chain.replace(positions=np.array(chain.positions)))
    for name in ("rmsd", "pca_rmsd", "mean_rmsd", "train_rmsd"):
        assert getattr(pieces, name).shape == getattr(whole, name).shape
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-4, atol=1e-5)


def test_likelihoods_do_not_depend_on_the_size_of_pieces(fitted, chain, on_disk, monkeypatch):
    whole = log_likelihood(fitted.model, chain[:50], samples=5)
    monkeypatch.setattr(likelihood, "_FRAMES_AT_ONCE", 17)
    pieces = log_likelihood(fitted.model, on_disk[:50], samples=5)
    assert pieces.per_frame.shape == (50,)
    np.testing.assert_allclose(pieces.per_frame, whole.per_frame, rtol=1e-4, atol=1e-3)
    compared = [compare_likelihoods(fitted, frames, samples=3) for frames in (chain, on_disk)]
    np.testing.assert_allclose(compared[1].gaussian.per_frame, compared[0].gaussian.per_frame, atol=1e-3)


def test_baselines_and_nearest_frames_are_those_of_frames_in_memory(fitted, chain, on_disk):
    first, second = (fit_baselines(fitted, frames).gaussian for frames in (chain, on_disk))
    np.testing.assert_array_equal(first.mean, second.mean)
    found = [
        optimize(fitted.model, "radius_of_gyration", starts=4, trajectory=frames)
        for frames in (chain, on_disk)
    ]
    np.testing.assert_array_equal(found[0].nearest.positions, found[1].nearest.positions)


def test_indexing_a_trajectory_on_disk_brings_the_frames_into_memory(on_disk, chain):
    chosen = on_disk[np.array([5, 3, 60])]
    assert mapping_of(chosen.positions) is None
    np.testing.assert_array_equal(chosen.positions, chain.positions[[5, 3, 60]])


def test_every_frame_is_mapped_once_and_in_order(on_disk, chain):
    sizes = set()

    def first_atom(frames):
        sizes.add(len(frames))
        return {"first": frames[:, 0], "sum": frames.sum(axis=(1, 2))}

    found = map_frames(first_atom, on_disk.position_chunks())
    np.testing.assert_array_equal(found["first"], chain.positions[:, 0])
    np.testing.assert_allclose(found["sum"], chain.positions.sum(axis=(1, 2)), rtol=1e-5)
    # Whole pieces are filled up to a power of two; only the last may be another one.
    assert all(size & (size - 1) == 0 for size in sizes)


def test_a_score_of_many_frames_looks_at_some_and_says_so(chain, on_disk, monkeypatch):
    whole = score_ensemble(chain, chain[::2], bootstrap=5)
    assert not any("spread evenly" in note for note in whole.notes)
    monkeypatch.setattr(sides, "MOST_BYTES", chain.positions.nbytes // 3 + 1)
    some = score_ensemble(on_disk, chain[::2], bootstrap=5)
    kept = -(-chain.n_frames // 3)
    assert (
        f"The reference has {chain.n_frames} frames; the score looked at {kept} of them, spread evenly."
        in some.notes
    )
    assert some.reference[1] == kept


def test_frames_of_weight_zero_are_not_sampled(chain):
    weights = np.ones(chain.n_frames)
    weights[::2] = 0.0
    weighted = chain.replace(weights=weights)
    some = counted_sample(weighted, chain.positions.nbytes // 5)
    np.testing.assert_array_equal(some.positions, chain.positions[1::2][::3])
    assert counted_sample(chain, chain.positions.nbytes) is chain


def test_frames_are_told_apart_by_every_number(chain, on_disk):
    reference = chain[:40]
    changed = np.array(reference.positions)
    # The smallest change of one number, and a sign.
    changed[7, -1, -1] = np.nextafter(changed[7, -1, -1], np.inf)
    changed[11, 0, 0] *= -1
    found = held_out_frames(reference.replace(positions=changed), on_disk, np.arange(chain.n_frames))
    assert found.tolist() == [7, 11]
    assert held_out_frames(reference, on_disk, np.arange(20, 100)).tolist() == list(range(20))
