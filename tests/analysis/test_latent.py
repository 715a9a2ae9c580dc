"""The latent trajectory: what the encoder gives, frame by frame, with joins respected."""

import dataclasses
import errno
import gc
import os
import tempfile

import numpy as np
import pytest

from polyvae.analysis import LatentTrajectory, latent, latent_trajectory
from polyvae.errors import InputError
from polyvae.storage import load_record, save_latent_csv, save_record
from polyvae.trajectory import Trajectory, open_trajectory
from polyvae.trajectory.mapped import mapping_of
from polyvae.units import MOLECULAR, REDUCED


def record(mean: np.ndarray, segments: tuple[int, ...]) -> LatentTrajectory:
    return LatentTrajectory(
        mean=mean, scale=np.ones_like(mean), times=None, segments=segments, units=MOLECULAR, source="test"
    )


def test_mean_and_scale_are_those_of_the_encoder(fitted, chain):
    latent = latent_trajectory(fitted.model, chain)
    posterior = fitted.model.encode(chain.positions)
    np.testing.assert_array_equal(latent.mean, posterior.mean)
    np.testing.assert_array_equal(latent.scale, posterior.scale)
    np.testing.assert_array_equal(latent.times, chain.times)
    assert latent.segments == (500, 500)
    assert latent.mean.shape == (1000, 6)


def test_a_source_is_encoded_chunk_by_chunk(fitted, chain, tmp_path):
    paths = []
    for index, part in enumerate((chain[:500], chain[500:])):
        paths.append(tmp_path / f"{index}.npz")
        weights = np.linspace(0.5, 1.5, 500)
        np.savez(paths[-1], positions=part.positions, times=part.times, weights=weights)
    source = open_trajectory(paths, chunk=70)
    found, expected = latent_trajectory(fitted.model, source), latent_trajectory(fitted.model, chain)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-5)
    np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-5)
    np.testing.assert_array_equal(found.times, chain.times)
    np.testing.assert_array_equal(found.weights, np.tile(weights, 2))
    assert found.segments == (500, 500)


def test_a_source_of_another_system_is_refused_before_it_is_read(fitted, tmp_path):
    np.save(tmp_path / "other.npy", np.full((20, 3, 2), np.nan, np.float32))
    with pytest.raises(InputError, match="the model was trained on"):
        latent_trajectory(fitted.model, open_trajectory(tmp_path / "other.npy", bonds="none"))


def test_a_latent_trajectory_on_disk_is_the_one_in_memory(fitted, chain, tmp_path, monkeypatch):
    np.savez(tmp_path / "run.npz", positions=chain.positions, times=chain.times)
    source = open_trajectory(tmp_path / "run.npz", chunk=170)
    for frames in (source, chain):
        in_memory = latent_trajectory(fitted.model, frames)
        with monkeypatch.context() as patch:
            (tmp_path / "rows").mkdir(exist_ok=True)
            patch.setattr(tempfile, "tempdir", str(tmp_path / "rows"))
            patch.setattr(latent, "_MOST_BYTES", 100)
            patch.setattr(latent, "_ROWS_AT_ONCE", 130)
            on_disk = latent_trajectory(fitted.model, frames)
            assert mapping_of(on_disk.mean) is not None
            assert mapping_of(in_memory.mean) is None
            for name in ("mean", "scale", "times", "span", "variance", "steps"):
                np.testing.assert_array_equal(getattr(on_disk, name), getattr(in_memory, name))
            assert on_disk.largest_step == in_memory.largest_step
            for name, save in (("npz", save_record), ("csv", save_latent_csv)):
                for record in (on_disk, in_memory):
                    save(record, tmp_path / f"{record is on_disk}.{name}", overwrite=True)
                written = [tmp_path / f"{kept}.{name}" for kept in (True, False)]
                assert name == "npz" or written[0].read_bytes() == written[1].read_bytes()
            read = load_record(tmp_path / "True.npz", LatentTrajectory)
            np.testing.assert_array_equal(read.mean, in_memory.mean)
            assert read.segments == in_memory.segments
            # The files go with the arrays.
            assert len(list((tmp_path / "rows").iterdir())) in (2, 3)
            del on_disk, record
            gc.collect()
            assert list((tmp_path / "rows").iterdir()) == []


def test_a_full_disk_under_the_latent_trajectory_is_named(fitted, chain, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(latent, "_MOST_BYTES", 100)

    def full(model, piece):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(latent, "_encoded", full)
    with pytest.raises(InputError, match=r"cannot be kept in .*No space left on device.*TMPDIR"):
        latent_trajectory(fitted.model, chain)


def test_the_largest_step_crosses_no_join_and_no_piece_is_forgotten(monkeypatch):
    mean = np.array([[0.0], [0.1], [5.0], [5.1], [4.8], [10.0]])
    for rows in (1, 2, 3, 4, 100):
        monkeypatch.setattr(latent, "_ROWS_AT_ONCE", rows)
        assert record(mean, (2, 3, 1)).largest_step == pytest.approx(0.03)
        assert record(mean, (2, 4)).largest_step == pytest.approx(0.52)
        assert record(mean[:1], (1,)).largest_step == 0.0


def test_a_second_call_gives_the_same_bits(fitted, chain):
    np.testing.assert_array_equal(
        latent_trajectory(fitted.model, chain).mean, latent_trajectory(fitted.model, chain).mean
    )


def test_the_latent_does_not_change_under_rigid_motion(fitted, chain):
    turn = np.array([[0.6, -0.8], [0.8, 0.6]], np.float32)
    moved = chain.replace(positions=chain.positions @ turn.T + np.array([3.0, -2.0], np.float32))
    one, other = (latent_trajectory(fitted.model, part).mean for part in (chain, moved))
    # float32 rounding of positions of size 5 through the network.
    np.testing.assert_allclose(one, other, atol=2e-4)


def test_joins_are_not_steps():
    mean = np.array([[0.0], [1.0], [10.0], [10.5]])
    assert record(mean, (4,)).steps[:, 0].tolist() == [1.0, 9.0, 0.5]
    assert record(mean, (2, 2)).steps[:, 0].tolist() == [1.0, 0.5]
    assert record(mean, (2, 2)).largest_step == pytest.approx(1.0 / 10.5)
    assert record(mean, (1, 1, 1, 1)).largest_step == 0.0


def test_the_largest_step_is_a_fraction_of_the_span_of_its_dimension():
    mean = np.array([[0.0, 0.0], [1.0, 8.0], [4.0, 10.0]])
    latent = record(mean, (3,))
    np.testing.assert_array_equal(latent.span, [4.0, 10.0])
    assert latent.largest_step == pytest.approx(0.8)


def test_another_system_is_refused(fitted, chain):
    with pytest.raises(InputError, match=r"trained on 5 atoms in 2 dimensions.*has 4 atoms in 2"):
        latent_trajectory(fitted.model, Trajectory(positions=chain.positions[:, :4]))
    with pytest.raises(InputError, match="the model's lengths are in nm, the trajectory's in σ"):
        latent_trajectory(fitted.model, chain.replace(units=REDUCED))


def test_weights_travel_with_the_frames(fitted, chain, rng):
    weights = rng.exponential(size=chain.n_frames)
    latent = latent_trajectory(fitted.model, chain.replace(weights=weights))
    np.testing.assert_array_equal(latent.weights, weights)
    assert latent_trajectory(fitted.model, chain).weights is None


def test_weights_enter_the_variance_and_not_the_span_or_the_steps(rng):
    mean, weights = rng.normal(size=(40, 3)), rng.exponential(size=40)
    plain, latent = record(mean, (40,)), dataclasses.replace(record(mean, (40,)), weights=weights)
    np.testing.assert_allclose(plain.variance, mean.var(axis=0), rtol=1e-12)
    covariance = np.cov(mean.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(latent.variance, np.diag(covariance), rtol=1e-12)
    np.testing.assert_array_equal(latent.span, plain.span)
    assert latent.largest_step == plain.largest_step


def test_counts_of_frames_are_weights_over_the_mean_of_those_above_zero():
    plain = record(np.zeros((4, 1)), (4,))
    latent = dataclasses.replace(plain, weights=np.array([0.0, 2.0, 4.0, 6.0]))
    np.testing.assert_allclose(latent.counts, [0.0, 0.5, 1.0, 1.5])
    assert latent.effective_sample_size == pytest.approx(144 / 56)
    assert plain.counts.tolist() == [1.0] * 4
    assert plain.effective_sample_size == 4
