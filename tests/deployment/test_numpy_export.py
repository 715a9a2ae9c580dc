import importlib.util
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import polyvae as pv
from polyvae.deployment import export_numpy
from polyvae.deployment.agreement import compare, latent_and_gradient
from polyvae.deployment.encoder import encoder_of
from polyvae.deployment.numpy_runtime import evaluate

KINDS = (
    *("alanine", "alanine tanh", "alanine internal", "alanine masses", "polymer 2d", "polymer 3d"),
    *("polymer 2d internal", "axes", "axes 2d", "rotation", "rotation 2d", "centered", "as it is"),
)


def imported(path):
    specification = importlib.util.spec_from_file_location(f"exported_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_value_and_gradient_are_those_of_jax_in_every_basin(kind, model_of, frames_of):
    model = model_of(kind)
    encoder = encoder_of(model)
    # Float64 leaves 1e-13 here; internal coordinates lose three digits, where atoms are nearly in line.
    assert compare(kind, model, frames_of(kind), lambda x: evaluate(encoder, x), tolerance=1e-10) > 0


def test_the_value_is_that_of_encode_in_float32(model_of, frames_of):
    model, frames = model_of("alanine"), frames_of("alanine")
    latent, _ = evaluate(encoder_of(model), frames)
    np.testing.assert_allclose(np.asarray(model.encode(frames.astype(np.float32)).mean), latent, atol=2e-5)


@pytest.mark.parametrize("kind", ["alanine", "polymer 2d", "axes", "rotation 2d", "alanine internal"])
def test_the_latent_does_not_change_under_rotation_and_translation(kind, model_of, frames_of, turned):
    encoder, frames = encoder_of(model_of(kind)), frames_of(kind)
    np.testing.assert_allclose(
        evaluate(encoder, turned(frames))[0], evaluate(encoder, frames)[0], rtol=0, atol=1e-11
    )


def test_the_gradient_is_the_slope_of_the_value(model_of, frames_of, rng):
    encoder, frames = encoder_of(model_of("axes")), frames_of("axes")
    step = 1e-6 * rng.normal(size=frames.shape)
    slope = (evaluate(encoder, frames + step)[0] - evaluate(encoder, frames - step)[0]) / 2
    expected = np.einsum("flia,fia->fl", evaluate(encoder, frames)[1], step)
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-11)


@pytest.mark.parametrize("shape", ["a line", "a point"])
def test_gradients_are_finite_where_the_rotation_is_not_determined(shape, model_of):
    model = model_of("alanine")
    frame = np.zeros((1, 10, 3))
    frame[0, :, 0] = 0.1 * np.arange(10) if shape == "a line" else 0.0
    latent, gradient = evaluate(encoder_of(model), frame)
    assert np.isfinite(latent).all()
    assert np.isfinite(gradient).all()


def test_the_file_needs_numpy_alone(model_of, frames_of, tmp_path):
    model, frames = model_of("alanine internal"), frames_of("alanine internal")
    path = export_numpy(model, tmp_path / "phi psi.py", check=frames)
    np.save(tmp_path / "frames.npy", frames)
    code = (
        "import sys, numpy as np; sys.path.insert(0, '.'); m = __import__('phi psi'); f = np.load('frames.npy'); "
        "v, g = m.latent_and_gradient(f); assert not {'jax', 'polyvae'} & set(sys.modules); "
        "assert np.array_equal(m.latent(f[0]), m.latent(f[:1])[0]); np.savez('answer.npz', v=v, g=g)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    value, gradient = latent_and_gradient(model, frames)
    with np.load(tmp_path / "answer.npz") as answer:
        np.testing.assert_allclose(answer["v"], value, rtol=0, atol=1e-10)
        np.testing.assert_allclose(answer["g"], gradient, rtol=0, atol=1e-8)
    with pytest.raises(ValueError, match=r"must have shape \(frames, 10, 3\)"):
        imported(path).latent(frames[:, :9])


def test_existing_files_are_kept(model_of, tmp_path):
    export_numpy(model_of("as it is"), tmp_path / "cv.py")
    with pytest.raises(pv.InputError, match="cv.py exists already"):
        export_numpy(model_of("as it is"), tmp_path / "cv.py")
    export_numpy(model_of("as it is"), tmp_path / "cv.py", overwrite=True)
    with pytest.raises(pv.InputError, match="must end in .py"):
        export_numpy(model_of("as it is"), tmp_path / "cv.txt")


class Own(eqx.Module):
    weights: jax.Array

    def encode(self, inputs):
        return inputs @ self.weights

    def decode(self, latent):
        return latent @ self.weights.T


def test_a_network_of_ones_own_is_refused(model_of, tmp_path):
    model = eqx.tree_at(lambda tree: tree.vae.network, model_of("as it is"), Own(jnp.zeros((36, 4))))
    with pytest.raises(pv.InputError, match="network of its own, a Own.*train without `network`"):
        export_numpy(model, tmp_path / "cv.py")


def test_a_difference_is_an_error_that_names_it(model_of, frames_of):
    model, frames = model_of("alanine"), frames_of("alanine")
    encoder = encoder_of(model)

    def spoiled(positions):
        value, gradient = evaluate(encoder, positions)
        return value, gradient * np.where(np.arange(len(gradient)) == 3, 1.001, 1.0)[:, None, None, None]

    with pytest.raises(pv.InputError, match="largest difference in the gradient is .*e-0[345] .*in frame 3"):
        compare("The export", model, frames, spoiled, tolerance=1e-9)
    with pytest.raises(pv.InputError, match=r"shape \(frames, 10, 3\); got \(8, 9, 3\)"):
        compare("The export", model, frames[:, :9], spoiled, tolerance=1e-9)
