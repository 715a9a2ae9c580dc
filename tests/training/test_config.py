"""Settings of training check themselves."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest

from polyvae.errors import InputError
from polyvae.training import TrainConfig
from polyvae.vae import Objective
from polyvae.vae.config import check_choices


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1; got 0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"blocks": 0}, "`blocks` must be at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be positive"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be positive"),
        ({"gradient_clip": -1.0}, "`gradient_clip` must not be negative"),
        ({"kl_warmup": -1}, "`kl_warmup` must not be negative"),
        ({"patience": 0}, "`patience` must be at least 1, or None"),
        ({"gap": -1}, "`gap` must not be negative"),
        ({"validation_fraction": 0.0}, "`validation_fraction` must lie between 0 and 0.5"),
        ({"test_fraction": 0.5}, "`test_fraction` must lie between 0 and 0.5"),
        ({"kl_cycles": 0}, "`kl_cycles` must be at least 1; got 0"),
        ({"importance_samples": 0}, "`importance_samples` must be at least 1; got 0"),
        ({"free_bits": -0.1}, "`free_bits` must not be negative; got -0.1"),
        ({"total_correlation": -1.0}, "`total_correlation` must not be negative"),
        ({"prior_matching": -1.0}, "`prior_matching` must not be negative"),
        ({"rate_target": 0.0}, "`rate_target` must be positive, or None; got 0.0"),
        ({"rate_target": float("nan")}, "`rate_target` must be positive"),
        ({"free_bits": 0.5, "rate_target": 3.0}, "`free_bits` and `rate_target` contradict each other"),
        (
            {"free_bits": 0.5, "objective": "iwae"},
            "`free_bits` and `objective='iwae'` contradict each other; choose one",
        ),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("schedule", "'cosine', 'constant'"),
        ("kl_schedule", "'warmup', 'cyclical'"),
        ("objective", "'elbo', 'iwae'"),
    ],
)
def test_unknown_choices_are_refused_and_the_known_ones_named(name, choices):
    settings = SimpleNamespace(**{**asdict(TrainConfig()), name: "linear"})
    with pytest.raises(InputError, match=f"`{name}` must be one of {choices}; got 'linear'"):
        check_choices(settings, TrainConfig)


def test_the_objective_is_what_the_settings_say():
    config = TrainConfig(objective="iwae", importance_samples=5, total_correlation=0.5, prior_matching=2.0)
    assert config.maximized == Objective(
        kind="iwae", importance_samples=5, total_correlation=0.5, prior_matching=2.0
    )
    assert TrainConfig(free_bits=0.1).maximized == Objective(free_bits=0.1)


def test_unknown_symmetries_are_refused():
    # Set on the record itself: under the tests' type checker the constructor would not get this far.
    config = TrainConfig()
    object.__setattr__(config, "augmentation", ["rotation"])
    with pytest.raises(InputError, match=r"`augmentation` knows 'mirror' and 'reversal'; got \['rotation'\]"):
        config.__post_init__()


def test_patience_may_be_none():
    assert TrainConfig(patience=None).patience is None
