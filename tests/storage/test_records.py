"""Result records come back as they were, and other files are refused."""

import csv
import dataclasses

import jax
import numpy as np
import pytest

from polyvae.analysis import (
    DistanceMarginals,
    LatentTrajectory,
    LikelihoodComparison,
    LogLikelihood,
    OptimizedConformations,
    RateDistortion,
    compare_vamp_scores,
    discrete_trajectories,
    distance_marginals,
    implied_timescales,
    reproducibility,
)
from polyvae.errors import InputError
from polyvae.storage import load_record, save_latent_csv, save_record
from polyvae.training import Diagnosis, History, diagnose
from polyvae.trajectory import SkippedFrames, Trajectory, to_mdtraj
from polyvae.units import MOLECULAR, REDUCED
from polyvae.vae import ModelConfig, make_vae
from polyvae.vae.likelihoods import Normal


def _latent(times):
    return LatentTrajectory(
        mean=np.array([[0.1, -2.0], [0.3, 1e-9], [0.25, 4.0]], np.float32),
        scale=np.array([[1.0, 0.5], [1.0, 0.25], [0.5, 0.5]], np.float32),
        times=times,
        segments=(2, 1),
        units=REDUCED,
        source="chäin",
    )


def _same(mine, theirs):
    assert type(mine) is type(theirs)
    if dataclasses.is_dataclass(mine):
        for field in dataclasses.fields(mine):
            _same(getattr(mine, field.name), getattr(theirs, field.name))
    elif isinstance(mine, np.ndarray):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    elif isinstance(mine, tuple):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            _same(one, other)
    else:
        assert mine == theirs


def _structures():
    rng = np.random.default_rng(0)
    bare = Trajectory(positions=rng.normal(size=(4, 5, 3)).astype(np.float32), bonds=np.array([[0, 1]]))
    skipped = (SkippedFrames(file="a.xtc", n_frames=3, first=(1, 5, 6)),)
    return bare.replace(topology=to_mdtraj(bare).topology, units=MOLECULAR, skipped=skipped)


def _records():
    structures = _structures()
    likelihood = LogLikelihood(per_frame=np.array([-1.0, -2.5]), samples=7)
    optimized = OptimizedConformations(
        positions=structures.positions,
        latent=np.zeros((4, 2), np.float32),
        radius_of_gyration=np.arange(4.0),
        start=np.array([3, 1, 0, 2]),
        n_starts=9,
        trace=np.ones((9, 3)),
        violation_trace=np.zeros((9, 3)),
        data_minimum=0.5,
        trajectory=structures,
        unit="nm",
    )
    return [
        _latent(np.array([0.0, 1.0, 7.0])),
        _latent(None),
        LikelihoodComparison(model=likelihood, gaussian=likelihood, chain=None, rate=3.25),
        distance_marginals(structures, structures, bins=4),
        dataclasses.replace(optimized),
        dataclasses.replace(optimized, trajectory=None),
        History(
            train_log_likelihood=np.arange(3.0),
            train_kl=np.ones((3, 2)),
            validation_log_likelihood=np.arange(3.0),
            validation_kl=np.ones((3, 2)),
            train_bound=np.arange(3.0),
            validation_bound=np.arange(3.0),
            sigma=np.ones(3),
            beta=np.full(3, 0.5),
        ),
        RateDistortion(
            beta=np.array([0.1, 1.0]),
            latent_dim=np.array([2, 2]),
            seed=np.array([0, 0]),
            rate=np.array([4.0, 2.0]),
            distortion=np.array([0.1, 0.3]),
            elbo=np.array([-3.0, -2.0]),
            active_units=np.array([2, 1]),
            status=("healthy", "partly collapsed"),
            gaussian_rate=np.linspace(5, 0, 4),
            gaussian_distortion=np.linspace(0, 1, 4),
        ),
        _diagnosis(),
        *_kinetics(),
    ]


def _kinetics():
    rows = np.random.default_rng(1).normal(size=(300, 2))
    return [
        compare_vamp_scores(rows, 2, features=rows, folds=2),
        implied_timescales(rows, [1, 2]),
        reproducibility([rows, rows[:, ::-1]]),
        discrete_trajectories(rows, 3, segments=(100, 200)),
    ]


def _diagnosis() -> Diagnosis:
    vae = make_vae(Normal.of(3), ModelConfig(latent_dim=2, hidden=(4,)))
    return diagnose(
        vae, np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), key=jax.random.key(0)
    )


@pytest.mark.parametrize("index", range(13))
def test_a_record_round_trips(index, tmp_path):
    record = _records()[index]
    assert save_record(record, tmp_path / "r.npz") == tmp_path / "r.npz"
    _same(load_record(tmp_path / "r.npz", type(record)), record)


def test_arrays_of_a_record_are_plain_arrays_of_the_file(tmp_path):
    save_record(_records()[2], tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["model.per_frame"], [-1.0, -2.5])


def test_latent_csv_holds_frame_time_means_and_widths(tmp_path):
    save_latent_csv(_latent(np.array([0.0, 0.5, 7.0])), tmp_path / "l.csv")
    with (tmp_path / "l.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["frame", "time", "z1", "z2", "sd1", "sd2"]
    assert len(rows) == 4
    assert rows[2][:2] == ["1", "0.5"]
    np.testing.assert_array_equal(np.array(rows[2][2:], np.float32), np.float32([0.3, 1e-9, 1.0, 0.25]))
    save_latent_csv(_latent(None), tmp_path / "l.csv", overwrite=True)
    assert (tmp_path / "l.csv").read_text().splitlines()[1].startswith("0,,0.1")


def test_an_existing_file_is_kept(tmp_path):
    save_record(_latent(None), tmp_path / "l.npz")
    with pytest.raises(InputError, match=r"l\.npz exists already"):
        save_record(_latent(None), tmp_path / "l.npz")


def test_wrong_files_and_kinds_are_refused(tmp_path):
    with pytest.raises(InputError, match="A dict is not a result record"):
        save_record({}, tmp_path / "r.npz")
    with pytest.raises(InputError, match=r"written as \.npz; got \.txt"):
        save_record(_latent(None), tmp_path / "r.txt")
    with pytest.raises(InputError, match=r"none\.npz does not exist"):
        load_record(tmp_path / "none.npz", LatentTrajectory)
    path = save_record(_latent(None), tmp_path / "r.npz")
    with pytest.raises(InputError, match="holds a LatentTrajectory, not a DistanceMarginals"):
        load_record(path, DistanceMarginals)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"r\.npz is not a result record of polyvae, or is damaged"):
        load_record(path, LatentTrajectory)
    np.savez(tmp_path / "plain.npz", mean=np.zeros(3))
    with pytest.raises(InputError, match=r"plain\.npz is not a result record"):
        load_record(tmp_path / "plain.npz", LatentTrajectory)
