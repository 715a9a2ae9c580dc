"""Training on pairs of frames a lag time apart: which pairs, the same bits either way, slow motions that are small."""

import jax.numpy as jnp
import numpy as np
import pytest

import polyvae as pv
from polyvae.errors import InputError
from polyvae.training import TrainConfig, fit_vae, fit_vae_ensemble
from polyvae.trajectory import bundled
from polyvae.vae import ModelConfig, make_vae
from polyvae.vae.likelihoods import Normal
from polyvae.vae.vamp import vamp_2

SMALL = ModelConfig(latent_dim=1, hidden=(32,))
SLOW = TrainConfig(epochs=40, batch_size=200, lag_time=1, vamp_weight=50.0, kl_warmup=1, learning_rate=5e-3)


def two_speeds(n_rows: int, seed: int) -> np.ndarray:
    """A fast process of standard deviation 1, and a slow one of 0.3 with the autocorrelation 0.95 at one row."""
    rng = np.random.default_rng(seed)
    fast = rng.normal(size=n_rows)
    slow = np.empty(n_rows)
    slow[0] = rng.normal()
    for row in range(1, n_rows):
        slow[row] = 0.95 * slow[row - 1] + np.sqrt(1 - 0.95**2) * rng.normal()
    return np.stack([fast, 0.3 * slow], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return two_speeds(4000, 0)


@pytest.fixture(scope="module")
def chain():
    return pv.load(bundled("polymer_2d.npz"))[:600]


def correlation(vae, rows: np.ndarray, column: int) -> float:
    latent = np.asarray(vae.encode(jnp.asarray(rows)).mean)[:, 0]
    return abs(float(np.corrcoef(latent, rows[:, column])[0, 1]))


@pytest.mark.filterwarnings("ignore:Column")
def test_the_latent_follows_the_slow_motion_where_a_plain_vae_follows_the_large_one(rows):
    def trained(config):
        return fit_vae(make_vae(Normal.of(2), SMALL, seed=0), rows, config, seed=0)

    slow = trained(SLOW)
    plain = trained(TrainConfig(epochs=40, batch_size=200, kl_warmup=1, learning_rate=5e-3))
    held_out = two_speeds(4000, 1)
    assert correlation(slow.vae, held_out, 1) > 0.98
    assert correlation(plain.vae, held_out, 0) > 0.98
    latent = slow.vae.encode(jnp.asarray(held_out)).mean
    # 1 + 0.95² is exact; 4000 rows with a correlation time of 20 scatter by some hundredths.
    assert float(vamp_2(latent[:-1], latent[1:])) == pytest.approx(1.9025, abs=0.04)
    assert slow.diagnosis.rate > 1.0


@pytest.mark.filterwarnings("ignore:Column")
def test_slow_motions_come_first_where_a_large_one_is_a_trap():
    """Two lanes of a ring: a latent that goes around it has no memory, but says most about the frame."""
    rng = np.random.default_rng(2)
    lane = np.cumsum(rng.random(20_000) < 0.02) % 2
    radius, angle = 1.0 + 0.4 * lane + 0.05 * rng.normal(size=20_000), rng.uniform(-np.pi, np.pi, 20_000)
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    config = TrainConfig(
        epochs=20,
        batch_size=500,
        lag_time=1,
        vamp_weight=100.0,
        kl_warmup=8,
        learning_rate=3e-3,
        patience=None,
    )
    # With the whole ELBO from the first step on, this seed ends with the angle and a correlation of 0.02.
    vae = make_vae(Normal.of(2), ModelConfig(latent_dim=1, hidden=(32, 32)), seed=2)
    latent = np.asarray(fit_vae(vae, ring, config, seed=2).vae.encode(jnp.asarray(ring)).mean)[:, 0]
    assert abs(np.corrcoef(latent, lane)[0, 1]) > 0.95


@pytest.mark.filterwarnings("ignore:Column")
def test_a_lagged_target_is_predicted_as_well_as_its_memory_allows(rows):
    config = TrainConfig(
        epochs=40, batch_size=200, lag_time=1, lagged_target=True, kl_warmup=1, learning_rate=5e-3
    )
    scale = rows.std(axis=0)
    vae = make_vae(Normal.of(2, per_feature=True), ModelConfig(latent_dim=1, hidden=(32,)), seed=0)
    result = fit_vae(vae, rows / scale, config, beta=0.05, seed=0)
    assert correlation(result.vae, two_speeds(4000, 1) / scale, 1) > 0.98
    # Standardized, the innovation of the slow process has the width 0.31; the fast one cannot be predicted.
    width = np.exp(np.asarray(result.vae.likelihood.log_scale))
    np.testing.assert_allclose(width, [1.0, np.sqrt(1 - 0.95**2)], rtol=0.1)
    with pytest.raises(InputError, match="at 1 and above the best one says nothing"):
        fit_vae(vae, rows / scale, config)


def test_pairs_stay_within_series_and_parts(rows, monkeypatch):
    seen = []
    monkeypatch.setattr(
        __import__("sys").modules["polyvae.training.fit_vae"],
        "train",
        lambda vae, data, *a, **k: seen.append(data) or 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        fit_vae(make_vae(Normal.of(2), SMALL), rows, SLOW, segments=(1500, 2500), seed=0)
    (data,) = seen
    vectors = np.asarray(data.train[0])
    place = {tuple(row): number for number, row in enumerate(rows)}
    pairs = np.array([[place[tuple(vectors[row])] for row in pair] for pair in data.lagged.pairs])
    np.testing.assert_array_equal(pairs[:, 1], pairs[:, 0] + 1)
    assert 1499 not in pairs[:, 0]
    held = [place[tuple(row)] for row in np.asarray(data.validation)]
    later = [place[tuple(row)] for row in np.asarray(data.lagged.validation)]
    np.testing.assert_array_equal(np.array(later), np.array(held) + 1)
    assert not set(held) & set(pairs.ravel())


@pytest.mark.parametrize(
    "settings",
    [
        {"vamp_weight": 5.0, "lagged_target": True, "rate_target": 3.0},
        pytest.param({"vamp_weight": 20.0}, marks=pytest.mark.science),
        pytest.param({"lagged_target": True, "rate_target": 3.0}, marks=pytest.mark.science),
    ],
)
def test_conformations_give_the_same_bits_from_a_file_and_members_those_of_one_model(chain, settings):
    config = pv.ModelConfig(hidden=(16,))
    quick = pv.TrainConfig(epochs=2, batch_size=32, lag_time=3, augmentation=("mirror",), **settings)
    alone = pv.fit(chain, config, quick, seed=1)
    stored = pv.fit(chain, config, quick, seed=1, memory="1 kB")
    np.testing.assert_array_equal(alone.history.validation_bound, stored.history.validation_bound)
    assert alone.diagnosis.rate == stored.diagnosis.rate
    first, _ = pv.fit_ensemble(chain, config, quick, seeds=(1, 2), split_seed=1)
    np.testing.assert_allclose(first.history.validation_bound, alone.history.validation_bound, rtol=1e-4)


def test_weights_enter_the_score(rows):
    weights = np.where(np.arange(len(rows)) < 2000, 1.0, 0.0)
    config = TrainConfig(epochs=2, batch_size=100, lag_time=1, vamp_weight=20.0)
    vaes = [make_vae(Normal.of(2), SMALL, seed=0)]
    scaled = rows / rows.std(axis=0)
    changed = scaled.copy()
    changed[2010:] = 0.5 * changed[2010:] + 1.0
    one, other = (
        fit_vae_ensemble(vaes, values, config, weights=weights, validation=scaled[:500], seeds=[1])[0]
        for values in (scaled, changed)
    )
    # Rows without weight, beyond the pairs that rows with weight are in, change nothing.
    np.testing.assert_allclose(one.history.train_bound, other.history.train_bound, rtol=1e-4)


def test_wrong_lag_times_are_refused(rows, chain):
    with pytest.raises(InputError, match="set `lag_time` to at least 1 frame"):
        TrainConfig(vamp_weight=1.0)
    with pytest.raises(InputError, match="has no part in training unless `vamp_weight`"):
        TrainConfig(lag_time=5)
    with pytest.raises(InputError, match="`lag_time` must not be negative"):
        TrainConfig(lag_time=-1, vamp_weight=1.0)
    with pytest.raises(InputError, match="add up to the 4000 rows"):
        fit_vae(make_vae(Normal.of(2), SMALL), rows, SLOW, segments=(10, 20))
    with pytest.raises(InputError, match=r"(training|validation) frames: no two of the .* Lower `lag_time`"):
        pv.fit(chain, pv.ModelConfig(hidden=(8,)), pv.TrainConfig(lag_time=599, vamp_weight=1.0))
