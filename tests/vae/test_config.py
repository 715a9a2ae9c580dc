"""Settings of the model check themselves."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest

from polyvae.errors import InputError
from polyvae.vae import ModelConfig
from polyvae.vae.config import check_choices


def test_defaults_are_valid_and_records_of_equal_settings_are_equal():
    assert ModelConfig() == ModelConfig(latent_dim=2, hidden=(256, 256, 256), beta=1.0)
    assert hash(ModelConfig()) == hash(ModelConfig())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 0}, "`latent_dim` must be at least 1; got 0"),
        ({"hidden": ()}, "`hidden` must list at least one positive width"),
        ({"hidden": (16, 0)}, "`hidden` must list at least one positive width"),
        ({"beta": -0.1}, "`beta` must not be negative"),
        ({"beta": float("nan")}, "`beta` must not be negative"),
        ({"sigma": 0.0}, "`sigma` must be positive"),
    ],
)
def test_impossible_numbers_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**changes)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("activation", "gelu"),
        ("representation", "cartesian"),
        ("alignment", "procrustes"),
        ("scaling", "isotropic"),
        ("decoder_scale", "learned"),
        ("residual", "covariance"),
    ],
)
def test_unknown_choices_are_refused_and_the_known_ones_named(name, choice):
    with pytest.raises(InputError, match=f"`{name}` must be one of .*'{choice}'.*; got 'nonsense'"):
        # The record itself: under the tests' type checker its constructor would not get this far.
        check_choices(SimpleNamespace(**{**asdict(ModelConfig()), name: "nonsense"}), ModelConfig)


def test_a_list_of_widths_is_as_good_as_a_tuple():
    config = ModelConfig()
    object.__setattr__(config, "hidden", [16, 8])
    config.__post_init__()
    assert hash(config) == hash(ModelConfig(hidden=(16, 8)))


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="latent_dims"):
        ModelConfig(latent_dims=2)
