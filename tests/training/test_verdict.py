"""Verdicts on trainings that are known to have gone wrong, and remedies that never name what is set already."""

import dataclasses

import numpy as np
import pytest

from polyvae.training import TrainConfig
from polyvae.training.course import Course
from polyvae.training.remedies import Remedies
from polyvae.training.verdict import verdict_of
from polyvae.vae import ModelConfig, NormalMixture, make_vae
from polyvae.vae.likelihoods import Blocks, Categorical, CorrelatedNormal, Normal, VonMises

HEALTHY = {
    "rate": 3.0,
    "log_likelihood": -5.0,
    "log_likelihood_error": 0.05,
    "activity": np.array([0.9, 0.9]),
    "information_used": 20.0,
    "information_used_error": 0.1,
    "used_by_decoder": np.array([5.0, 5.0]),
    "used_by_decoder_error": np.array([0.1, 0.1]),
    "prior_distance": np.zeros(2),
    "prior_distance_floor": np.full(2, 0.01),
    "prior_sd": np.ones(2),
    "aggregate_kl": 0.1,
    "aggregate_kl_lower": 0.0,
    "aggregate_kl_error": 0.01,
    "untapped_signal": 0.5,
    "untapped_floor": 1.0,
    "untapped_scatter": 1.0,
    "noise_variance": 1.0,
    "largest_eigenvalue": 2.0,
}
COLLAPSED = HEALTHY | {"rate": 0.0, "log_likelihood": -11.0}


def course(*, rate: float = 3.0, beta=(1.0, 1.0), bounds=(-8.0, -8.0), **settings) -> Course:
    config = dataclasses.replace(TrainConfig(epochs=2, kl_warmup=0), **settings)
    return Course(config=config, rate=rate, beta=np.array(beta), bounds=np.array(bounds))


def verdict(numbers, *, trained=None, likelihood=None, vectors=True, beta=1.0, without=None, vae=None):
    likelihood = likelihood or Normal.of(8)
    vae = vae or make_vae(Normal.of(8), ModelConfig(hidden=(4,)))
    remedies = Remedies(likelihood=likelihood, course=trained, vectors=vectors, beta=beta)
    return verdict_of(vae, numbers, remedies, without)


def test_a_good_latent_needs_nothing():
    assert verdict(HEALTHY, trained=course(), without=-11.0) == ("healthy", "none", "")


def test_a_bound_below_that_of_no_latent_has_not_converged():
    status, cause, remedy = verdict(HEALTHY, trained=course(), without=-4.0)
    assert (status, cause) == ("not converged", "training too short")
    assert remedy.startswith("the frames are 4 nats less likely")
    assert (
        "more `epochs` (now 2) or a larger `learning_rate` (now 0.001), and standardize the columns" in remedy
    )
    assert "standardize" not in verdict(HEALTHY, trained=course(), without=-4.0, vectors=False)[2]
    # Free bits, a small beta and a rate target give nats away on purpose.
    assert verdict(HEALTHY, trained=course(free_bits=1.5), without=-4.7)[0] == "healthy"
    assert verdict(HEALTHY, trained=course(), beta=0.0, without=-4.9)[0] == "healthy"
    assert verdict(HEALTHY, trained=course(rate_target=3.0), without=-4.9)[0] == "healthy"


@pytest.mark.parametrize("rate", [2.71, 3.0, 3.29])
def test_a_rate_within_a_tenth_of_the_target_meets_it(rate):
    assert verdict(HEALTHY, trained=course(rate=rate, rate_target=3.0))[0] == "healthy"


def test_a_rate_target_that_was_missed_is_named_with_what_brings_it_nearer():
    trained = course(rate=4.24, rate_target=12.0, beta=(1.0, 0.05))
    status, cause, remedy = verdict(HEALTHY, trained=trained)
    assert status == cause == "rate target missed"
    assert remedy == (
        "training ended at 4.24 of 12 nats. Give it more `epochs` (now 2), `beta` of `fit_vae` = 0.05 to begin with "
        "(it moved from 1 to 0.05), a larger `learning_rate` (now 0.001), a wider network (`hidden`) or more "
        "`latent_dim`."
    )
    above = verdict(HEALTHY, trained=course(rate=9.0, rate_target=3.0, beta=(1.0, 1.0)))[2]
    assert above == "training ended at 9 of 3 nats. Give it more `epochs` (now 2)."


def test_a_collapse_under_a_rate_target_is_no_reason_to_set_one():
    trained = course(rate=0.0, rate_target=2.0, beta=(50.0, 3.0))
    status, cause, remedy = verdict(COLLAPSED | {"untapped_signal": 4.0}, trained=trained, beta=3.0)
    assert (status, cause) == ("collapsed", "rate target missed")
    assert "`beta` of `fit_vae` = 1 to begin with (it moved from 50 to 3)" in remedy
    assert "hidden" not in remedy


@pytest.mark.parametrize("change", ["learning_rate", "bounds"])
def test_after_large_steps_the_learning_rate_comes_first(change):
    wild = {
        "learning_rate": {"learning_rate": 0.1},
        "bounds": {"bounds": (-8.0, -40.0), "learning_rate": 0.01},
    }
    for numbers in (COLLAPSED | {"untapped_signal": 4.0}, HEALTHY | {"information_used": 0.0}):
        _, cause, remedy = verdict(numbers, trained=course(**wild[change]))
        assert cause == "unstable training"
        assert "Lower `learning_rate` to" in remedy
        assert "free_bits" not in remedy
        assert ("fell by 32 nats" in remedy) == (change == "bounds")
    assert verdict(HEALTHY, trained=course(**wild[change]))[0] == "healthy"


def test_falls_do_not_count_where_bounds_are_not_comparable():
    falling = (-8.0, -40.0)
    assert course(bounds=falling).largest_fall == 32.0
    assert course(bounds=falling, kl_schedule="cyclical").largest_fall == 0.0
    assert course(bounds=falling, rate_target=2.0).largest_fall == 0.0
    assert course(bounds=falling, kl_warmup=1).largest_fall == 0.0


def test_noise_that_is_learned_is_never_said_to_be_learned():
    wide = COLLAPSED | {"untapped_scatter": 0.1, "noise_variance": 5.0}
    for likelihood in (Normal.of(8), Blocks((Normal.of(7), VonMises.of(1)))):
        _, cause, remedy = verdict(wide, likelihood=likelihood)
        assert cause == "training too short"
        assert "learned and has not come down yet" in remedy
        assert "sigma`" not in remedy
    fixed = Blocks((Normal.of(7), VonMises.of(1, learn=False)))
    assert "Raise `kappa` of `VonMises`, or learn it with `learn=True`" in verdict(wide, likelihood=fixed)[2]
    fixed = Normal.of(8, learn=False)
    assert (
        "Lower `sigma` below 1.41 of `Normal`, or learn it with `learn=True`"
        in verdict(wide, likelihood=fixed)[2]
    )
    told = verdict(wide, likelihood=fixed, vectors=False)
    assert told[1] == "noise too wide"
    assert "Lower `sigma` below 1.41, or learn it with `decoder_scale='learned'`" in told[2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "Set `rate_target` or `free_bits`, or train longer"),
        ({"free_bits": 0.2}, "Raise `free_bits` (now 0.2)"),
        ({"objective": "iwae"}, "Set `rate_target`, or train longer"),
        ({"patience": 1, "epochs": 9}, "a longer `patience` (now 1)"),
    ],
)
def test_what_is_set_is_changed_and_not_set_again(settings, words):
    stuck = COLLAPSED | {"untapped_signal": 4.0}
    status, cause, remedy = verdict(stuck, trained=course(**settings))
    assert (status, cause) == ("collapsed", "training stuck")
    assert words in remedy


def test_a_decoder_that_does_not_listen_is_told_of_free_bits_only_where_there_are_some():
    deaf = HEALTHY | {"information_used": 0.0}
    assert "free_bits" not in verdict(deaf, trained=course())[2]
    assert "lower `free_bits` (now 0.5)" in verdict(deaf, trained=course(free_bits=0.5))[2]
    assert "lower `rate_target` (now 3)" in verdict(deaf, trained=course(rate_target=3.0))[2]
    # Where not even a decoder without z would be as bad, the decoder has not been trained.
    assert verdict(deaf, trained=course(), without=-1.0)[:2] == ("latent ignored", "training too short")


def test_advice_is_that_of_the_family():
    about_classes = verdict(COLLAPSED, likelihood=Categorical(8), trained=course())
    assert about_classes[1] == "decoder suffices"
    assert "sigma" not in about_classes[2]
    assert "A single choice among classes needs no latent" in about_classes[2]
    assert "smaller fixed `sigma`" in verdict(COLLAPSED, likelihood=Normal.of(8))[2]
    assert "`Normal.of(...)`" in verdict(COLLAPSED, likelihood=CorrelatedNormal.of(8))[2]
    assert "`likelihood='normal'" in verdict(COLLAPSED, likelihood=CorrelatedNormal.of(8), vectors=False)[2]
    dead = HEALTHY | {"activity": np.array([0.9, 0.0])}
    assert verdict(dead, likelihood=Normal.of(8))[2].endswith("for finer detail lower `beta` of `fit_vae`.")
    assert (
        "lower `sigma` or lower `beta`"
        in verdict(dead, likelihood=Normal.of(8, learn=False), vectors=False)[2]
    )


def test_a_beta_that_is_too_large_is_lowered_where_it_is_set():
    numbers = COLLAPSED | {"untapped_signal": 4.0}
    assert verdict(numbers, beta=20.0)[1] == "beta too large"
    assert verdict(numbers, beta=20.0)[2].endswith("Lower `beta` of `fit_vae` below 4.")
    assert verdict(numbers, beta=20.0, vectors=False)[2].endswith("Lower `beta` below 4.")


def test_a_prior_that_does_not_fit_is_mended_in_the_callers_terms(rng):
    far = HEALTHY | {"prior_distance": np.array([0.0, 2.0])}
    assert "`polyvae.training.fit_prior(vae, vectors," in verdict(far)[2]
    assert "`prior='mixture', prior_training='after'`" in verdict(far, vectors=False)[2]
    mixture = make_vae(Normal.of(8), ModelConfig(hidden=(4,), prior="mixture", prior_components=5))
    assert isinstance(mixture.prior, NormalMixture)
    assert "more `prior_components` (now 5) in `fit_prior`" in verdict(far, vae=mixture)[2]
