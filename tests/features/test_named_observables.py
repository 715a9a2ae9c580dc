"""Observables by name and from a user's function: values, units, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.features import Observable, contacts, observable_of, radius_of_gyration
from polyvae.units import MOLECULAR, REDUCED


def named(observable, n_atoms=6, units=MOLECULAR, masses=None) -> Observable:
    return observable_of(observable, n_atoms=n_atoms, dims=3, units=units, masses=masses)


@pytest.fixture
def frames(rng) -> np.ndarray:
    return rng.normal(size=(4, 6, 3)).astype(np.float32)


def test_names_have_the_values_and_units_of_their_functions(frames):
    masses = np.arange(1.0, 7.0)
    gyration = named("radius_of_gyration", masses=masses)
    expected = jax.vmap(lambda x: radius_of_gyration(x, jnp.asarray(masses, jnp.float32)))(frames)
    np.testing.assert_allclose(gyration.of(frames), expected, rtol=1e-6)
    assert gyration.label == "radius of gyration (nm)"
    ends = named("end_to_end_distance", units=REDUCED)
    np.testing.assert_allclose(
        ends.of(frames), np.linalg.norm(frames[:, 5] - frames[:, 0], axis=1), rtol=1e-6
    )
    assert ends.unit == "σ"
    np.testing.assert_allclose(
        named("distance:1-4").of(frames), np.linalg.norm(frames[:, 4] - frames[:, 1], axis=1), rtol=1e-6
    )
    assert named("asphericity").label == "asphericity"


@pytest.mark.parametrize(
    ("word", "switch"),
    [
        ("contacts", {"r0": 0.45}),
        ("contacts:0.8", {"r0": 0.8}),
        ("contacts:r0=0.3,d0=0.5,n=8,m=12", {"r0": 0.3, "d0": 0.5, "n": 8, "m": 12}),
    ],
)
def test_contacts_count_pairs_three_apart_in_the_sequence(frames, word, switch):
    pairs = jnp.asarray([[0, 3], [0, 4], [0, 5], [1, 4], [1, 5], [2, 5]])
    expected = jax.vmap(lambda x: contacts(x, pairs, **switch))(frames)
    np.testing.assert_allclose(named(word).of(frames), expected, rtol=1e-6)


def test_a_function_of_ones_own_is_an_observable(frames):
    def height(frame):
        return jnp.max(frame[:, 2]) - jnp.min(frame[:, 2])

    measured = named(height)
    assert (measured.name, measured.unit) == ("height", "")
    np.testing.assert_allclose(measured.of(frames), np.ptp(frames[:, :, 2], axis=1), rtol=1e-6)
    assert named(measured) is measured


@pytest.mark.parametrize(
    ("observable", "message"),
    [
        ("gyration", "`observable` 'gyration' is not known. Choose one of radius_of_gyration"),
        ("asphericity:3", "'asphericity:3' is not known"),
        ("distance:3", "must name two atoms, counted from 0, such as distance:0-5"),
        ("distance:3-6", "two different atoms below n_atoms=6"),
        ("distance:3-3", "two different atoms"),
        ("torsion:0-1-2", "must name four atoms, counted from 0, such as torsion:0-1-2-5"),
        ("torsion:0-1-2-1", "four different atoms below n_atoms=6"),
        ("contacts:near", "'near' is not understood"),
        ("contacts:q0=1", "'q0=1' is not understood"),
        ("contacts:-1", "`r0` must be positive"),
        (3.0, "must be a name or a function of one frame; got a float"),
        (lambda x: x[0], r"must return one number for a frame; got shape \(3,\)"),
        (lambda x: (x[0, 0], x[0, 1]), "must return one number for a frame; got a tuple"),
        (lambda x: jnp.sum(x > 0), "must return a real number that can be differentiated; got int"),
        (lambda x: float(x[0, 0]), "ConcretizationTypeError"),
        (lambda x: x[0, 0] @ 3, "failed on a frame of shape"),
    ],
)
def test_what_is_no_observable_is_refused(observable, message):
    with pytest.raises(InputError, match=message):
        named(observable)


def test_a_chain_too_short_for_contacts_is_refused():
    with pytest.raises(InputError, match="3 atoms have none"):
        named("contacts", n_atoms=3)
