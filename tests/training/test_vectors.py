"""`pv.make_vae` refuses settings that a VAE of vectors would ignore."""

import pytest

import polyvae as pv
from polyvae.errors import InputError
from polyvae.training import make_vae
from polyvae.vae import ModelConfig, NormalMixture
from polyvae.vae.likelihoods import Normal


@pytest.mark.parametrize(
    ("settings", "instead"),
    [
        ({"beta": 4.0}, r"`beta=4.0` \(pass it to the training: fit_vae"),
        ({"prior": "mixture", "prior_training": "after"}, r"`prior_training='after'` \(.*training.fit_prior"),
        ({"likelihood": "student-t"}, r"`likelihood='student-t'` \(the first argument is the likelihood"),
        ({"decoder_scale": "fixed", "sigma": 0.3}, r"`decoder_scale='fixed'` .*Normal.of.*; `sigma=0.3`"),
        ({"decoder_scale": "analytic"}, "analytic_scale=True to fit_vae"),
        ({"alignment": "kabsch"}, r"`alignment='kabsch'` \(it describes conformations"),
        (
            {"representation": "internal"},
            r"^A VAE of vectors does not use `representation='internal'` \([^;]*;[^;]*$",
        ),
    ],
)
def test_settings_without_a_part_are_named_with_what_to_use_instead(settings, instead):
    with pytest.raises(InputError, match=instead):
        make_vae(Normal.of(3), ModelConfig(**settings))


def test_settings_of_network_posterior_and_prior_are_used():
    config = ModelConfig(latent_dim=3, hidden=(4,), posterior="full", prior="mixture", prior_components=2)
    vae = pv.make_vae(Normal.of(5), config, seed=1)
    assert (vae.latent_dim, vae.posterior, type(vae.prior)) == (3, "full", NormalMixture)
    assert pv.make_vae(Normal.of(5)).latent_dim == ModelConfig().latent_dim
