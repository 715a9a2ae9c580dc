"""The score of an ensemble: known answers, laws, and what it says about bad input."""

import json

import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import EnsembleScore, score_ensemble
from polyvae.errors import InputError
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED

N_FRAMES = 400


def chain(
    n_frames: int = N_FRAMES, seed: int = 0, *, n_atoms: int = 6, dims: int = 3, **fields
) -> Trajectory:
    """Independent frames of a stiff chain in random orientation, bonds of mean length one."""
    rng = np.random.default_rng(seed)
    steps = 0.3 * rng.normal(size=(n_frames, n_atoms, dims))
    steps[..., 0] += 1.0
    steps /= np.linalg.norm(steps, axis=2, keepdims=True)
    steps *= 1.0 + 0.02 * rng.normal(size=(n_frames, n_atoms, 1))
    frames = turned(np.cumsum(steps, axis=1), rng)
    bonds = np.stack([np.arange(n_atoms - 1), np.arange(1, n_atoms)], axis=1)
    return Trajectory(**{"positions": frames.astype(np.float32), "bonds": bonds, **fields})


def turned(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each frame in an orientation of its own."""
    rotations = np.linalg.qr(rng.normal(size=(len(frames), *2 * frames.shape[2:])))[0]
    rotations[:, 0] *= np.linalg.det(rotations)[:, None]
    return np.einsum("fad,fde->fae", frames, rotations)


def coincident(trajectory: Trajectory) -> Trajectory:
    """With two bonded atoms at one place in one frame."""
    positions = trajectory.positions.copy()
    positions[7, 3] = positions[7, 2]
    return trajectory.replace(positions=positions)


@pytest.fixture(scope="module")
def peptide() -> Trajectory:
    return pv.load(pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"), stride=20)


@pytest.fixture(scope="module")
def peptide_score(peptide) -> EnsembleScore:
    return score_ensemble(peptide[:500], peptide[500:], bootstrap=40)


def test_data_against_data_is_as_good_as_data():
    score = score_ensemble(chain(seed=1), chain(seed=2), bootstrap=40)
    assert score.verdict == "as good as data", score.table()
    assert score.reference[1:] == (N_FRAMES, 100)


def test_one_simulation_against_its_other_half_is_as_good_as_data(peptide_score):
    assert peptide_score.verdict == "as good as data", peptide_score.table()
    assert {row.group for row in peptide_score.rows} == {
        *("distances", "bonds", "angles", "torsions", "ramachandran", "size"),
        *("clashes", "chirality", "omega", "coverage"),
    }
    assert peptide_score["cis_peptides"].value == peptide_score["cis_peptides"].baseline == 0.0
    assert peptide_score.ramachandran.residues == ("ALA2",)
    np.testing.assert_allclose(peptide_score.ramachandran.reference.sum(axis=(1, 2)), 1.0)


def test_a_small_ensemble_of_independent_frames_is_not_blamed_for_its_size():
    row = score_ensemble(chain(2000, 1), chain(100, 2), bootstrap=40)["pair_distance_w1_mean"]
    assert row.verdict == "as good as data"
    # The floor is that of many more frames, so the floor alone would blame it.
    assert row.noise > 1.5 * row.floor


def test_bonds_scaled_by_five_percent_are_wrong_by_five_percent_of_their_mean():
    reference = chain()
    other = reference.replace(positions=np.float32(1.05) * reference.positions)
    score = score_ensemble(reference, other, bootstrap=20)
    assert score["bond_w1_mean"].verdict == score.verdict == "wrong"
    lengths = np.linalg.norm(np.diff(reference.positions.astype(np.float64), axis=1), axis=2)
    # float32 distances.
    assert score["bond_w1_mean"].value == pytest.approx(0.05 * lengths.mean(), rel=1e-4)
    assert score["angle_w1_mean"].value == pytest.approx(0.0, abs=1e-5)
    assert score["radius_of_gyration_w1"].verdict == "wrong"


def test_a_mirrored_molecule_has_all_centers_of_the_wrong_hand(peptide):
    mirrored = peptide.replace(positions=peptide.positions * np.float32([1, 1, -1]))
    score = score_ensemble(peptide, mirrored, bootstrap=20)
    # Weights sum to one up to rounding.
    assert score["wrong_chirality"].value == pytest.approx(1.0, rel=1e-12)
    assert score["wrong_chirality"].baseline == 0.0
    assert score["wrong_chirality"].verdict == "wrong"
    # Distances and angles cannot tell a mirror image, to float32 rounding; torsions and RMSD do.
    assert score["pair_distance_w1_max"].value < 1e-6
    assert score["torsion_js_max"].verdict == "wrong"
    assert score["coverage"].value < 0.5


def test_rotating_and_moving_frames_changes_nothing(rng):
    reference, ensemble = chain(seed=1), chain(seed=2)
    moved = turned(ensemble.positions, rng) + rng.normal(size=(N_FRAMES, 1, 3))
    first = score_ensemble(reference, ensemble, bootstrap=10)
    second = score_ensemble(reference, ensemble.replace(positions=moved.astype(np.float32)), bootstrap=10)
    for row in first.rows:
        # A float32 coordinate may fall to the other side of a bin or of the radius of coverage.
        assert second[row.name].value == pytest.approx(row.value, rel=0.02, abs=2e-3), row.name
        assert second[row.name].verdict == row.verdict


@pytest.mark.parametrize("side", ["reference", "ensemble"])
def test_weights_count_as_repeated_frames(side):
    both = {"reference": chain(seed=1), "ensemble": chain(seed=2)}
    times = np.random.default_rng(5).integers(0, 4, N_FRAMES)
    weighted = {**both, side: both[side].replace(weights=times.astype(float))}
    repeated = {**both, side: both[side][np.repeat(np.arange(N_FRAMES), times)]}
    first, second = (score_ensemble(**sides, bootstrap=10) for sides in (weighted, repeated))
    for row in first.rows:
        if row.group in ("coverage", "clashes"):
            continue
        # Sums in another order.
        assert second[row.name].value == pytest.approx(row.value, rel=1e-5, abs=1e-7), row.name
    # A quantile and a choice of frames: they depend a little on how frames are counted.
    for name in ("clashes_per_frame", "coverage", "precision"):
        assert second[name].value == pytest.approx(first[name].value, abs=0.06)


def test_a_torsion_that_the_ensemble_never_takes_is_named():
    reference = chain(n_atoms=4)
    flat = reference.positions.copy()
    flat[:] = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 1, 0]])
    score = score_ensemble(reference, reference.replace(positions=flat), bootstrap=10)
    assert score["torsion_js"].verdict == "wrong"
    # All mass in one of 36 bins, against a wide distribution: near the largest divergence there is.
    assert 0.3 < score["torsion_js"].value <= np.log(2)


def test_cis_peptide_bonds_are_counted(peptide):
    names = {(atom.residue.name, atom.name): atom.index for atom in peptide.topology.atoms}
    carbon, nitrogen = names["ALA", "C"], names["NME", "N"]
    moving = [atom.index for atom in peptide.topology.residue(2).atoms]
    positions = peptide.positions.astype(np.float64)
    axis = positions[:, nitrogen] - positions[:, carbon]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    arms = positions[:, moving] - positions[:, [carbon]]
    # Half a turn about the bond takes trans to cis.
    along = np.einsum("fad,fd->fa", arms, axis)[..., None] * axis[:, None]
    positions[:, moving] = positions[:, [carbon]] + 2 * along - arms
    # In every fourth frame: one of two bonds, so one in eight.
    is_turned = np.arange(len(positions)) % 4 == 0
    positions[~is_turned] = peptide.positions[~is_turned]
    score = score_ensemble(peptide, peptide.replace(positions=positions.astype(np.float32)), bootstrap=20)
    row = score["cis_peptides"]
    # Weights sum to one up to rounding.
    assert row.value == pytest.approx(0.125, rel=1e-12)
    assert (row.baseline, row.verdict, row.worst) == (0.0, "wrong", "ALA2-NME3")


def test_overlapping_beads_are_clashes():
    reference, ensemble = chain(seed=1), chain(seed=2)
    positions = ensemble.positions.copy()
    positions[:, 5] = positions[:, 0] + np.float32(0.01)
    score = score_ensemble(reference, ensemble.replace(positions=positions), bootstrap=20)
    assert score["clashes_per_frame"].verdict == "wrong"
    assert score["clashes_per_frame"].worst == "0 – 5"
    assert score["clashes_per_frame"].value >= 1.0
    # By definition, up to one in a thousand of the ten non-bonded pairs.
    assert score["clashes_per_frame"].baseline == pytest.approx(0.01, abs=0.01)


def test_an_ensemble_of_copies_is_caught_by_novelty(rng):
    training, held_out = chain(seed=1), chain(seed=2)
    copies = training[rng.permutation(N_FRAMES)]
    copies = copies.replace(positions=turned(copies.positions, rng).astype(np.float32))
    remembered = score_ensemble(held_out, copies, training=training, bootstrap=20)
    assert remembered["novelty_ratio"].verdict == remembered["training_copies"].verdict == "wrong"
    # Rounding of rotated float32 coordinates.
    assert remembered["novelty_ratio"].value < 1e-3
    assert remembered["training_copies"].value == 1.0
    new = score_ensemble(held_out, chain(seed=3), training=training, bootstrap=20)
    assert new["novelty_ratio"].value == pytest.approx(1.0, abs=0.1)
    assert new["novelty_ratio"].verdict == new["training_copies"].verdict == "as good as data"


def test_training_frames_in_the_reference_are_left_out_of_novelty():
    data = chain(seed=1)
    score = score_ensemble(data, chain(seed=3), training=data[:300], bootstrap=10)
    assert any("300 frames of the reference are training frames" in note for note in score.notes)
    assert score["novelty_ratio"].value == pytest.approx(1.0, abs=0.2)
    score = score_ensemble(data, chain(seed=3), training=data, bootstrap=10)
    with pytest.raises(InputError, match="No novelty: all frames of the reference are training frames"):
        _ = score["novelty_ratio"]


def test_half_of_the_conformations_missing_lowers_coverage_and_not_precision():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0.2, np.pi - 0.2, 2 * N_FRAMES)
    frames = np.zeros((len(angle), 3, 2))
    frames[:, 0, 0], frames[:, 2] = 1.0, np.stack([np.cos(angle), np.sin(angle)], axis=1)
    both = Trajectory(positions=frames.astype(np.float32), bonds=np.array([[0, 1], [1, 2]]))
    score = score_ensemble(both, both[angle < np.pi / 2], bootstrap=20)
    assert score["coverage"].value == pytest.approx(0.5, abs=0.07)
    assert score["coverage"].verdict == "wrong"
    assert score["precision"].verdict == "as good as data"


def test_correlated_frames_have_larger_errors():
    frames = chain(60, seed=1)
    held = frames[np.repeat(np.arange(60), 20)]
    shuffled = held[np.random.default_rng(0).permutation(1200)]
    errors = [
        score_ensemble(side, chain(seed=2), bootstrap=60)["end_to_end_w1"].error for side in (held, shuffled)
    ]
    # Blocks of whole repeats against single frames: up to sqrt(20), here at least twice.
    assert errors[0] > 2.0 * errors[1]


def test_two_dimensions_have_signed_turns_and_no_chirality():
    reference = chain(dims=2)
    mirrored = reference.replace(positions=reference.positions * np.float32([1, -1]))
    score = score_ensemble(reference, mirrored, bootstrap=10)
    assert score["turn_js_mean"].unit == "nats"
    assert ("chirality", "there is none in two dimensions") in score.absent
    assert ("ramachandran", "there is no topology, so no residues are known") in score.absent


def test_without_bonds_their_groups_are_absent_with_the_reason():
    first, second = (chain(seed=seed).replace(bonds=None) for seed in (1, 2))
    score = score_ensemble(first, second, bootstrap=10)
    absent = dict(score.absent)
    assert {"bonds", "angles", "torsions", "chirality", "omega", "novelty"} <= absent.keys()
    assert "nothing is known about bonds" in absent["bonds"]
    assert score["clashes_per_frame"].verdict == "as good as data"
    with pytest.raises(InputError, match="No row 'bond_w1_mean'; there are pair_distance_w1_mean"):
        _ = score["bond_w1_mean"]


def test_the_same_seed_gives_the_same_score(peptide, peptide_score):
    again = score_ensemble(peptide[:500], peptide[500:], bootstrap=40)
    assert again.to_json() == peptide_score.to_json()


def test_table_and_json_hold_every_row(peptide_score):
    content = json.loads(json.dumps(peptide_score.to_json()))
    assert [row["name"] for row in content["rows"]] == [row.name for row in peptide_score.rows]
    assert content["verdict"] == "as good as data"
    table = peptide_score.table()
    assert all(row.name in table for row in peptide_score.rows)
    assert table.splitlines()[-1] == "overall: as good as data"
    assert "no novelty: no training frames were given" in table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.atom_slice(np.arange(5)), "has 6 atoms in 3 dimensions, the ensemble .* 5 atoms in 3"),
        (lambda t: t[:1], "the ensemble must have at least 2 frames, .* got 1"),
        (lambda t: t.replace(units=REDUCED), "reference .* are in nm, those of the ensemble .* in σ"),
        (coincident, "bonded atoms 2 and 3 .* same place in frame 7"),
    ],
)
def test_bad_ensembles_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        score_ensemble(chain(), change(chain(seed=1)))


def test_bad_references_and_settings_are_refused(peptide):
    with pytest.raises(InputError, match="the reference must have at least 4 frames, .* got 1"):
        score_ensemble(chain()[:1], chain(seed=1))
    with pytest.raises(InputError, match="`bootstrap` must be at least 2; got 1"):
        score_ensemble(chain(), chain(seed=1), bootstrap=1)
    with pytest.raises(InputError, match="the training set .* 5 atoms in 3"):
        score_ensemble(chain(), chain(seed=1), training=chain(n_atoms=5))
    with pytest.raises(InputError, match="at least two atoms"):
        score_ensemble(chain().atom_slice(np.array([0])), chain().atom_slice(np.array([0])))
    first, second = (peptide.atom_slice(np.array(atoms)) for atoms in ([0, 4, 6], [0, 5, 6]))
    with pytest.raises(InputError, match="Atom 1, counted from 0, is C .* and O in that of the ensemble"):
        score_ensemble(first, second)
