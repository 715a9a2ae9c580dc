"""What a page can show of a run: points, structures, surfaces, and what the coordinates follow."""

import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import RunOverview, determined_sizes, latent_meanings, run_overview
from polyvae.analysis.overview import bins_for
from polyvae.analysis.representatives import representative_rows, superposed
from polyvae.preprocessing import kabsch_rmsd
from polyvae.storage import load_record, save_record
from polyvae.trajectory import Trajectory


def _stretching(n_frames: int = 300, n_atoms: int = 5, dims: int = 3) -> Trajectory:
    """A zigzag chain that breathes along its axis, with noise."""
    rng = np.random.default_rng(11)
    stretch = rng.uniform(0.7, 1.3, size=n_frames)
    chain = np.zeros((n_atoms, dims))
    chain[:, 0] = np.arange(n_atoms)
    chain[1::2, 1] = 0.5
    positions = chain * np.stack([stretch, *[np.ones(n_frames)] * (dims - 1)], axis=1)[:, None, :]
    positions += rng.normal(scale=0.01, size=positions.shape)
    return Trajectory(
        positions=positions.astype(np.float32),
        times=2.0 * np.arange(n_frames),
        segments=(100, n_frames - 100),
    )


@pytest.fixture(scope="module")
def fitted():
    trajectory = _stretching()
    config = pv.TrainConfig(epochs=2, batch_size=64)
    model = pv.fit(trajectory, pv.ModelConfig(hidden=(8,)), config, seed=0).model
    return trajectory, model, pv.latent_trajectory(model, trajectory)


def test_points_are_every_so_many_frames_and_the_extremes(fitted):
    trajectory, model, encoded = fitted
    overview = run_overview(model, trajectory, encoded, most_points=50, most_structures=9)
    assert overview.n_frames == 300
    assert 50 <= len(overview.frames) <= 52
    np.testing.assert_array_equal(overview.latent, encoded.mean[overview.frames])
    np.testing.assert_array_equal(overview.times, 2.0 * overview.frames)
    np.testing.assert_array_equal(overview.segments, overview.frames >= 100)
    gyration = mdtraj_gyration(trajectory)
    assert {int(np.argmin(gyration)), int(np.argmax(gyration))} <= set(overview.frames.tolist())
    np.testing.assert_allclose(overview.radius_of_gyration, gyration[overview.frames], rtol=1e-5)


def mdtraj_gyration(trajectory: Trajectory) -> np.ndarray:
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for _ in range(trajectory.n_atoms):
        topology.add_atom("C", mdtraj.element.carbon, residue)
    return mdtraj.compute_rg(mdtraj.Trajectory(trajectory.positions, topology))


def test_structures_are_frames_with_their_reconstructions(fitted):
    trajectory, model, encoded = fitted
    generated = pv.generate(model, 60, seed=1)
    overview = run_overview(model, trajectory, encoded, generated=generated, most_structures=9)
    data, drawn = overview.structures
    assert (data.name, drawn.name) == ("data", "generated")
    assert len(data.positions) == 9
    assert len(drawn.positions) == 40
    assert data.frames is not None
    rmsd = kabsch_rmsd(jnp.asarray(data.positions), jnp.asarray(trajectory.positions[data.frames]))
    assert float(rmsd.max()) < 1e-3
    assert data.reconstructed is not None
    np.testing.assert_allclose(
        data.rmsd,
        kabsch_rmsd(jnp.asarray(data.reconstructed), jnp.asarray(data.positions)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_surfaces_hold_all_frames_whatever_the_points(fitted):
    trajectory, model, encoded = fitted
    few, all_of_them = (
        run_overview(model, trajectory, encoded, most_points=most, most_structures=5) for most in (20, 1000)
    )
    assert [surface.axes for surface in few.surfaces] == [(0, 1), (0, 2), (1, 2)]
    for one, other in zip(few.surfaces, all_of_them.surfaces, strict=True):
        np.testing.assert_array_equal(one.energy, other.energy)
    assert np.nanmin(few.surfaces[0].energy) == 0


def test_an_overview_is_stored_and_comes_back(fitted, tmp_path):
    trajectory, model, encoded = fitted
    overview = run_overview(model, trajectory, encoded, most_structures=5)
    save_record(overview, tmp_path / "o.npz")
    back = load_record(tmp_path / "o.npz", RunOverview)
    np.testing.assert_array_equal(back.latent, overview.latent)
    np.testing.assert_array_equal(back.structures[0].positions, overview.structures[0].positions)
    assert back.meanings == overview.meanings
    assert back.system.n_atoms == 5


@pytest.mark.parametrize(("frames", "bins"), [(10, 10), (98, 10), (2000, 22), (10**6, 50)])
def test_bins_grow_with_the_frames_up_to_fifty(frames, bins):
    assert bins_for(frames) == bins


def test_representatives_lie_far_apart_and_hold_those_asked_for():
    line = np.arange(101.0)[:, None]
    rows = representative_rows(line, 5)
    assert rows.tolist() == [0, 25, 50, 75, 100]
    assert 33 in representative_rows(line, 5, first=np.array([33]))
    assert representative_rows(np.zeros((7, 2)), 4).tolist() == [0]


def test_superposition_is_a_proper_rotation_onto_the_reference(rng):
    reference = rng.normal(size=(6, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    moved = reference @ turn + 3.0
    np.testing.assert_allclose(
        superposed(moved[None], reference)[0], reference - reference.mean(0), atol=1e-6
    )
    mirrored = superposed((moved * [1, 1, -1])[None], reference)[0]
    assert np.abs(mirrored - (reference - reference.mean(0))).max() > 0.1


def test_a_latent_that_is_the_radius_of_gyration_is_called_so():
    trajectory = _stretching()
    gyration = mdtraj_gyration(trajectory)
    noise = np.random.default_rng(0).normal(size=len(gyration))
    first, second = latent_meanings(np.stack([-gyration, noise], axis=1), trajectory, np.ones(5))
    assert first.observable == "the radius of gyration"
    assert first.correlation < -0.95
    assert abs(second.correlation) < 0.3


def test_a_latent_that_turns_with_a_torsion_is_called_so(rng):
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for number in range(3):
        residue = topology.add_residue("ALA", chain, resSeq=number + 1)
        for name in ("N", "CA", "C"):
            topology.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residue)
    positions = rng.normal(size=(400, 9, 3)).astype(np.float32)
    trajectory = Trajectory(positions=positions, topology=topology)
    phi = mdtraj.compute_dihedrals(mdtraj.Trajectory(positions, topology), [[2, 3, 4, 5]])[:, 0]
    (meaning,) = latent_meanings(np.cos(phi)[:, None], trajectory, np.ones(9))
    assert meaning.observable == "the torsion φ of ALA2"
    assert meaning.correlation > 0.9


def test_what_the_latent_determines_needs_no_order():
    trajectory = _stretching()
    gyration = mdtraj_gyration(trajectory)
    # The ranks of an even function of the latent say nothing, its neighbors everything.
    latent = (np.sign(np.arange(300) % 2 - 0.5) * (gyration - gyration.min()))[:, None]
    size, ends = determined_sizes(latent, trajectory, np.ones(5))
    assert size.observable == "the radius of gyration"
    assert size.share > 0.9
    assert ends.share > 0.9
    noise = np.random.default_rng(1).normal(size=(300, 1))
    assert determined_sizes(noise, trajectory, np.ones(5))[0].share < 0.1
