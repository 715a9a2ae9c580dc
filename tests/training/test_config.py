"""Settings of training check themselves."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest

from polyvae.errors import InputError
from polyvae.training import TrainConfig
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
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**changes)


def test_unknown_schedules_are_refused_and_the_known_ones_named():
    settings = SimpleNamespace(**{**asdict(TrainConfig()), "schedule": "linear"})
    with pytest.raises(InputError, match="`schedule` must be one of 'cosine', 'constant'; got 'linear'"):
        check_choices(settings, TrainConfig)


def test_unknown_symmetries_are_refused():
    # Set on the record itself: under the tests' type checker the constructor would not get this far.
    config = TrainConfig()
    object.__setattr__(config, "augmentation", ["rotation"])
    with pytest.raises(InputError, match=r"`augmentation` knows 'mirror' and 'reversal'; got \['rotation'\]"):
        config.__post_init__()


def test_patience_may_be_none():
    assert TrainConfig(patience=None).patience is None
