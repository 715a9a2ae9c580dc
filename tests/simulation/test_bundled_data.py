"""What data/README.md says about the bundled files is true of them."""

import hashlib
import re
from pathlib import Path

import mdtraj
import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[2] / "data"
POLYMERS = {
    "polymer_2d": (20_000, 2, 20.0),
    "polymer_2d_dense": (8000, 2, 0.01),
    "polymer_3d": (20_000, 3, 20.0),
    "polymer_3d_dense": (8000, 3, 0.01),
}


@pytest.fixture(params=POLYMERS)
def polymer(request):
    with np.load(DATA / f"{request.param}.npz") as file:
        return request.param, {name: file[name] for name in file.files}


def radius_of_gyration(positions):
    positions = positions.astype(np.float64)
    return np.sqrt(((positions - positions.mean(axis=1, keepdims=True)) ** 2).sum(-1).mean(1))


def aligned_steps(positions):
    """Kabsch RMSD from each frame to the next."""
    centered = positions.astype(np.float64) - positions.mean(axis=1, keepdims=True)
    u, singular, vt = np.linalg.svd(np.swapaxes(centered[:-1], 1, 2) @ centered[1:])
    singular[:, -1] *= np.sign(np.linalg.det(u @ vt))
    squares = (centered**2).sum(axis=(1, 2))
    return np.sqrt(np.maximum(squares[1:] + squares[:-1] - 2 * singular.sum(1), 0) / positions.shape[1])


def test_polymer_files_hold_finite_float32_frames_evenly_spaced_in_time(polymer):
    name, arrays = polymer
    n_frames, dims, interval = POLYMERS[name]
    assert arrays["positions"].shape == (n_frames, 12, dims)
    assert arrays["positions"].dtype == np.float32
    assert np.isfinite(arrays["positions"]).all()
    np.testing.assert_allclose(np.diff(arrays["times"]), interval)
    np.testing.assert_array_equal(arrays["bonds"], np.stack([np.arange(11), np.arange(1, 12)], axis=1))
    np.testing.assert_array_equal(arrays["masses"], np.ones(12))
    assert arrays["units"] == "reduced"


def test_polymer_bonds_fluctuate_by_a_fifth_of_their_length(polymer):
    lengths = np.linalg.norm(np.diff(polymer[1]["positions"], axis=1), axis=-1)
    assert 1.03 < lengths.mean() < 1.09
    assert 0.17 < lengths.std() / lengths.mean() < 0.2


def test_polymer_chains_bend_and_fold_but_are_not_globules(polymer):
    name, arrays = polymer
    radii = radius_of_gyration(arrays["positions"])
    straight = np.sqrt((12**2 - 1) / 12)
    assert 0.75 * straight < radii.mean() < 0.9 * straight
    # A dense run is too short to meet the most compact shapes.
    assert radii.min() < (0.6 if name.endswith("_dense") else 0.55) * straight


@pytest.mark.parametrize("name", ["polymer_2d", "polymer_3d"])
def test_frames_of_the_long_runs_are_nearly_independent(name):
    with np.load(DATA / f"{name}.npz") as file:
        radii = radius_of_gyration(file["positions"])
    assert np.corrcoef(radii[:-1], radii[1:])[0, 1] < 0.15


@pytest.mark.parametrize("name", ["polymer_2d_dense", "polymer_3d_dense"])
def test_beads_of_the_dense_runs_move_little_from_frame_to_frame(name):
    with np.load(DATA / f"{name}.npz") as file:
        positions = file["positions"]
    steps = aligned_steps(positions) / radius_of_gyration(positions)[1:]
    # Thermal velocity of 1 σ/τ along each axis, times 0.01 τ, over an R_g of 2.7 σ: half a percent.
    assert 0.004 < steps.mean() < 0.007
    assert steps.max() < 0.012


@pytest.mark.parametrize("dims", [2, 3])
def test_the_dense_run_is_at_the_state_point_of_the_long_one(dims):
    lengths, radii = [], []
    for suffix in ("", "_dense"):
        with np.load(DATA / f"polymer_{dims}d{suffix}.npz") as file:
            lengths.append(np.linalg.norm(np.diff(file["positions"], axis=1), axis=-1).mean())
            radii.append(radius_of_gyration(file["positions"]).mean())
    assert lengths[1] == pytest.approx(lengths[0], rel=0.01)
    # About 5 independent values (80 τ, twice 7.4 τ each) of R_g, which scatters by 15 %, in the dense run.
    assert radii[1] == pytest.approx(radii[0], rel=0.12)


def test_planar_ensemble_is_symmetric_under_mirror_image_and_reversal():
    with np.load(DATA / "polymer_2d.npz") as file:
        bonds = np.diff(file["positions"].astype(np.float64), axis=1)
    turns = bonds[:, :-1, 0] * bonds[:, 1:, 1] - bonds[:, :-1, 1] * bonds[:, 1:, 0]
    angles = np.arctan2(turns, (bonds[:, :-1] * bonds[:, 1:]).sum(-1))
    # 20 000 frames, nearly independent; a frame's mean turn scatters by 0.25 and its ends differ by 1.
    assert abs(angles.sum(1).mean()) < 5 * angles.sum(1).std() / np.sqrt(20_000 / 1.5)
    first, last = np.abs(angles[:, 0]), np.abs(angles[:, -1])
    assert abs((first - last).mean()) < 5 * (first - last).std() / np.sqrt(20_000 / 1.5)


@pytest.fixture(scope="module")
def alanine_dipeptide():
    return mdtraj.load(DATA / "alanine_dipeptide.xtc", top=DATA / "alanine_dipeptide.pdb")


def test_alanine_dipeptide_has_20_000_frames_one_ps_apart_and_no_box(alanine_dipeptide):
    assert alanine_dipeptide.xyz.shape == (20_000, 22, 3)
    assert alanine_dipeptide.unitcell_vectors is None
    assert alanine_dipeptide.topology.n_bonds == 21
    assert np.isfinite(alanine_dipeptide.xyz).all()
    np.testing.assert_allclose(np.diff(alanine_dipeptide.time), 1.0, atol=1e-2)


def test_alanine_dipeptide_visits_c7ax_often(alanine_dipeptide):
    phi = np.degrees(mdtraj.compute_phi(alanine_dipeptide)[1][:, 0])
    inside = (phi > 0) & (phi < 140)
    assert 0.01 < inside.mean() < 0.15
    assert np.count_nonzero(inside[1:] & ~inside[:-1]) >= 10


def test_alanine_dipeptide_keeps_its_chirality(alanine_dipeptide):
    names = {(a.residue.name, a.name): a.index for a in alanine_dipeptide.topology.atoms}
    frames = alanine_dipeptide.xyz.astype(np.float64)
    n, c, cb = (frames[:, names["ALA", x]] - frames[:, names["ALA", "CA"]] for x in ("N", "C", "CB"))
    assert ((n * np.cross(c, cb)).sum(-1) > 0).all()


def test_files_are_small_and_are_those_whose_checksums_the_readme_states():
    stated = dict(
        reversed(line.split())
        for line in re.findall(r"[0-9a-f]{64}  \S+", (DATA / "README.md").read_text("utf-8"))
    )
    found = {path.name: path for path in DATA.iterdir() if path.suffix in {".npz", ".xtc", ".pdb"}}
    assert set(stated) == set(found)
    assert max(path.stat().st_size for path in found.values()) < 5e6
    assert sum(path.stat().st_size for path in found.values()) < 12e6
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == stated[name], name
