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
        ({"prior_components": 0}, "`prior_components` must be at least 1; got 0"),
        ({"residual_rank": 0}, "`residual_rank` must be at least 1; got 0"),
        (
            {"prior_scales": (1.0,)},
            r"`prior_scales` must hold one positive width for each of the 2 latent dimensions; got \(1.0,\)",
        ),
        ({"prior_scales": (1.0, 0.0)}, "`prior_scales` must hold one positive width"),
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
        ("network", "residual"),
        ("posterior", "diagonal"),
        ("prior", "vamp"),
        ("prior_training", "joint"),
        ("likelihood", "student-t"),
    ],
)
def test_unknown_choices_are_refused_and_the_known_ones_named(name, choice):
    with pytest.raises(InputError, match=f"`{name}` must be one of .*'{choice}'.*; got 'nonsense'"):
        # The record itself: under the tests' type checker its constructor would not get this far.
        check_choices(SimpleNamespace(**{**asdict(ModelConfig()), name: "nonsense"}), ModelConfig)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"likelihood": "correlated", "decoder_scale": "fixed"},
            "`likelihood='correlated'` learns its widths; leave `decoder_scale` at 'learned'",
        ),
        (
            {"likelihood": "student-t", "decoder_scale": "analytic"},
            "`decoder_scale='analytic'` belongs to `likelihood='normal'`; got 'student-t'",
        ),
        ({"likelihood": "rotation", "decoder_scale": "per-frame"}, "`decoder_scale='per-frame'` belongs to"),
        (
            {"prior": "sparse", "prior_training": "after"},
            "`prior='sparse'` has nothing to fit; leave `prior_training` at 'joint'",
        ),
        ({"likelihood": "rotation", "alignment": "kabsch"}, "only centered; got `alignment='kabsch'`"),
        ({"likelihood": "rotation", "scaling": "per-feature"}, "keeps the shape of space: 'isotropic'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**settings)


def test_a_rotation_likelihood_needs_no_alignment_but_the_center():
    assert ModelConfig(likelihood="rotation").alignment == "center"


def test_prior_widths_fall_by_a_factor_where_none_are_given():
    assert ModelConfig(latent_dim=3).prior_widths() == pytest.approx((1.0, 1 / 1.5, 1 / 2.25))
    assert ModelConfig(prior_scales=(2.0, 0.5)).prior_widths() == (2.0, 0.5)


def test_a_list_of_widths_is_as_good_as_a_tuple():
    config = ModelConfig()
    object.__setattr__(config, "hidden", [16, 8])
    config.__post_init__()
    assert hash(config) == hash(ModelConfig(hidden=(16, 8)))


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="latent_dims"):
        ModelConfig(latent_dims=2)
