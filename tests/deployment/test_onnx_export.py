import sys

import numpy as np
import pytest

import polyvae as pv
from polyvae.deployment import export_onnx
from polyvae.deployment.agreement import latent_and_gradient
from polyvae.errors import MissingDependencyError

KINDS = (
    *("alanine", "alanine tanh", "alanine internal", "alanine masses", "polymer 2d", "polymer 3d"),
    *("polymer 2d internal", "axes", "axes 2d", "rotation", "rotation 2d", "centered", "as it is"),
)


def latent_of(path, positions):
    onnx = pytest.importorskip("onnx", reason="the library onnx is not installed")
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load(path))
    kind = (
        np.float64
        if evaluator.input_types_[0].tensor_type.elem_type == onnx.TensorProto.DOUBLE
        else np.float32
    )
    return evaluator.run(["latent"], {"positions": positions.astype(kind)})[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_latent_is_that_of_jax_in_every_basin(kind, model_of, frames_of, tmp_path):
    pytest.importorskip("onnx", reason="the library onnx is not installed")
    model, frames = model_of(kind), frames_of(kind)
    expected, _ = latent_and_gradient(model, frames)
    single = latent_of(export_onnx(model, tmp_path / "single.onnx", check=frames), frames)
    assert single.dtype == np.float32
    size = np.abs(expected).max()
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5 * size)
    double = latent_of(export_onnx(model, tmp_path / "double.onnx", double=True, check=frames), frames)
    np.testing.assert_allclose(double, expected, rtol=0, atol=1e-10 * size)


@pytest.mark.parametrize("kind", ["alanine", "polymer 2d", "axes"])
def test_the_latent_does_not_change_under_rotation_and_translation(
    kind, model_of, frames_of, turned, tmp_path
):
    pytest.importorskip("onnx", reason="the library onnx is not installed")
    frames = frames_of(kind)
    path = export_onnx(model_of(kind), tmp_path / "cv.onnx", double=True)
    np.testing.assert_allclose(latent_of(path, turned(frames)), latent_of(path, frames), rtol=0, atol=1e-11)


def test_a_frame_without_extent_has_a_finite_latent(model_of, tmp_path):
    pytest.importorskip("onnx", reason="the library onnx is not installed")
    for kind in ("alanine", "polymer 2d", "axes", "axes 2d"):
        model = model_of(kind)
        path = export_onnx(model, tmp_path / f"{kind}.onnx")
        assert np.isfinite(latent_of(path, np.zeros((2, model.system.n_atoms, model.system.dims)))).all()


def test_without_the_library_the_error_names_the_extra(model_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'polyvae\[onnx\]'"):
        export_onnx(model_of("as it is"), tmp_path / "cv.onnx")


def test_existing_files_are_kept(model_of, tmp_path):
    pytest.importorskip("onnx", reason="the library onnx is not installed")
    export_onnx(model_of("as it is"), tmp_path / "cv.onnx")
    with pytest.raises(pv.InputError, match="cv.onnx exists already"):
        export_onnx(model_of("as it is"), tmp_path / "cv.onnx")
