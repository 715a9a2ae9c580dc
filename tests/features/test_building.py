"""Internal coordinates to positions and back: hand-made geometry, another library, laws, and collinear atoms."""

import jax
import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from polyvae.features import BondTree, bond_tree
from polyvae.features.building import build, measure, reference_frames


def chain_tree(n_atoms: int) -> BondTree:
    steps = np.arange(n_atoms)
    return BondTree(
        atoms=tuple(steps.tolist()),
        parents=tuple(np.maximum(steps - 1, 0).tolist()),
        siblings=(-1,) * n_atoms,
    )


def random_molecule(rng, n_atoms: int, dims: int) -> tuple[BondTree, np.ndarray]:
    """A tree of atoms with bonds in all directions, positions in the order of placement."""
    parents = np.array([0, *(rng.integers(max(0, step - 4), step) for step in range(1, n_atoms))])
    positions = np.zeros((n_atoms, dims))
    for step in range(1, n_atoms):
        vector = rng.normal(size=dims)
        vector *= rng.uniform(0.1, 0.2) / np.linalg.norm(vector)
        positions[step] = positions[parents[step]] + vector
    bonds = np.stack([np.arange(1, n_atoms), parents[1:]], axis=1)
    tree = bond_tree(bonds, n_atoms, positions=positions[None])
    return tree, positions[list(tree.atoms)]


def turned(positions: np.ndarray, seed: int) -> np.ndarray:
    """The positions after a rotation and a translation."""
    if positions.shape[-1] == 2:
        rotation = Rotation.from_euler("z", 0.7 + seed).as_matrix()[:2, :2]
    else:
        rotation = Rotation.from_quat(np.random.default_rng(seed).normal(size=4)).as_matrix()
    return positions @ rotation.T + np.array([0.3, -0.2, 0.1])[: positions.shape[-1]]


def worst_deviation(built: np.ndarray, positions: np.ndarray) -> float:
    """Largest distance of an atom from its place after the best proper superposition, in float64."""
    built = np.asarray(built, np.float64) - np.mean(built, axis=0, dtype=np.float64)
    positions = np.asarray(positions, np.float64) - np.mean(positions, axis=0, dtype=np.float64)
    left, _, right = np.linalg.svd(built.T @ positions)
    left[:, -1] *= np.sign(np.linalg.det(left @ right))
    return float(np.linalg.norm(built @ left @ right - positions, axis=1).max())


def wrapped(angles: np.ndarray) -> np.ndarray:
    return np.abs((np.asarray(angles, np.float64) + np.pi) % (2 * np.pi) - np.pi)


def round_trip(tree: BondTree, frames: np.ndarray):
    """Coordinates of frames, and positions built from them."""

    def one(frame):
        coordinates = measure(tree, frame)
        return coordinates, build(tree, *coordinates)

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jnp.asarray(frames)))


def test_bonds_and_turns_in_the_plane_by_hand():
    positions = jnp.asarray([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [5.0, 1.0]])
    lengths, angles, turns = measure(chain_tree(4), positions)
    np.testing.assert_allclose(lengths, [2, 1, 3])
    assert angles.shape == (0,)
    # Left, then right.
    np.testing.assert_allclose(turns, [np.pi / 2, -np.pi / 2], rtol=1e-6)
    np.testing.assert_allclose(build(chain_tree(4), lengths, angles, turns), positions, atol=1e-6)


def test_bonds_angles_and_torsions_in_space_by_hand():
    # Looking along the middle bond, the front bond points up and the rear one to the right: +90 degrees.
    positions = jnp.asarray([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 0.0, 3.0]])
    lengths, angles, torsions = measure(chain_tree(4), positions)
    np.testing.assert_allclose(lengths, [1, 2, 3])
    np.testing.assert_allclose(angles, [np.pi / 2, np.pi / 2], rtol=1e-6)
    np.testing.assert_allclose(torsions, [np.pi / 2], rtol=1e-6)
    expected = mdtraj.compute_dihedrals(
        mdtraj.Trajectory(np.array(positions)[None], None), [[0, 1, 2, 3]], periodic=False
    )
    np.testing.assert_allclose(torsions, expected[0], rtol=1e-5)


def test_ethane_has_its_siblings_120_degrees_apart():
    bonds = np.array([(0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (1, 6), (1, 7)])
    third, across = 1 / 3, np.sqrt(8) / 3
    up = [[-third, across * np.cos(turn), across * np.sin(turn)] for turn in (0.0, 2.0943951, 4.1887902)]
    down = [
        [1.5 + third, across * np.cos(turn), across * np.sin(turn)] for turn in (np.pi, 5.2359878, 7.3303829)
    ]
    positions = np.array([[0, 0, 0], [1.5, 0, 0], *up, *down])
    tree = bond_tree(bonds, 8, positions=positions[None])
    lengths, angles, torsions = measure(tree, jnp.asarray(positions[list(tree.atoms)], jnp.float32))
    np.testing.assert_allclose(lengths, [1, 1.5, 1, 1, 1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(np.cos(angles), -1 / 3, atol=1e-6)
    # Two siblings of the other carbon; then one torsion about the bond, staggered, and its two siblings.
    np.testing.assert_allclose(np.cos(torsions[jnp.asarray([0, 1, 3, 4])]), -0.5, atol=1e-6)
    np.testing.assert_allclose(np.sin(torsions[0]) * np.sin(torsions[1]), -0.75, atol=1e-6)
    np.testing.assert_allclose(np.cos(3 * torsions[2]), -1.0, atol=1e-6)


def test_torsions_are_those_of_mdtraj(rng):
    tree, positions = random_molecule(rng, 14, 3)
    torsions = measure(tree, jnp.asarray(positions, jnp.float32))[2]
    frames = mdtraj.Trajectory(positions[None].astype(np.float32), None)
    quads = tree.torsion_atoms()
    is_proper = np.asarray(tree.siblings[3:]) < 0
    expected = mdtraj.compute_dihedrals(frames, quads[is_proper], periodic=False)[0]
    # Both work in single precision.
    assert wrapped(np.asarray(torsions)[is_proper] - expected).max() < 1e-5
    # Siblings: the torsion about the bond to their parent from one to the other.
    improper = quads[~is_proper]
    assert len(improper) > 2
    outward = positions[improper[:, [0, 3]]] - positions[improper[:, 2]][:, None]
    axis = positions[improper[:, 2]] - positions[improper[:, 1]]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    a, b = (outward[:, i] - np.sum(outward[:, i] * axis, axis=1, keepdims=True) * axis for i in (0, 1))
    by_hand = np.arctan2(np.sum(axis * np.cross(a, b), axis=1), np.sum(a * b, axis=1))
    assert wrapped(np.asarray(torsions)[~is_proper] - by_hand).max() < 1e-5


@pytest.mark.parametrize("dims", [2, 3])
@settings(max_examples=4, deadline=None, derandomize=True, phases=(Phase.generate,))
@given(n_atoms=st.integers(3, 24), seed=st.integers(0, 2**32 - 1))
def test_any_tree_comes_back_exactly_and_no_motion_changes_its_coordinates(dims, n_atoms, seed):
    rng = np.random.default_rng(seed)
    tree, positions = random_molecule(rng, n_atoms, dims)
    mirror = positions * np.array([1.0, -1.0, 1.0])[:dims]
    frames = np.stack([positions, turned(positions, 1), mirror])
    with jax.enable_x64(True):
        (lengths, angles, torsions), built = round_trip(tree, frames)
        # Rounding of double precision, as the worst of some dozen bonds and rotations.
        for frame, back in zip(frames, built, strict=True):
            assert worst_deviation(back, frame) < 1e-10
        np.testing.assert_allclose(lengths, lengths[np.zeros(3, int)], atol=1e-12)
        np.testing.assert_allclose(angles, angles[np.zeros(3, int)], atol=1e-9)
        if torsions.shape[1]:
            # Three bonds that are collinear by chance to 1e-6 leave this much of a torsion.
            assert wrapped(torsions[0] - torsions[1]).max() < 1e-7
            # A mirror image: every torsion or turn with the other sign, all else the same.
            assert wrapped(torsions[0] + torsions[2]).max() < 1e-7


@pytest.mark.parametrize("dims", [2, 3])
def test_single_precision_brings_40_atoms_back_to_a_hundred_thousandth(rng, dims):
    tree, positions = random_molecule(rng, 40, dims)
    _, built = round_trip(tree, positions[None].astype(np.float32))
    # Each bond of 0.2 nm turns all that follow with an error of 1e-6.
    assert worst_deviation(built[0], positions) < 1e-5


def test_chirality_is_kept(rng):
    tree, positions = random_molecule(rng, 20, 3)
    _, built = round_trip(tree, positions[None].astype(np.float32))
    quads = tree.torsion_atoms()

    def volumes(frame):
        a, b, c = (frame[quads[:, i]] - frame[quads[:, 2]] for i in (0, 1, 3))
        return np.sum(a * np.cross(b, c), axis=1)

    here, there = volumes(positions), volumes(np.asarray(built[0]))
    np.testing.assert_array_equal(np.sign(here), np.sign(there))


N_COLLINEAR = 16


def bent_chain(bends, seed: int = 3) -> np.ndarray:
    """Bonds of 0.15 that turn by these angles, each in another plane."""
    rng = np.random.default_rng(seed)
    direction = np.array([1.0, 0, 0])
    positions = [np.zeros(3), 0.15 * direction]
    for bend in bends:
        axis = np.cross(direction, rng.normal(size=3))
        direction = Rotation.from_rotvec(bend * axis / np.linalg.norm(axis)).apply(direction)
        positions.append(positions[-1] + 0.15 * direction)
    return np.array(positions)


def cycled(*bends) -> list[float]:
    return [bends[index % len(bends)] for index in range(N_COLLINEAR - 2)]


def lattice_walk() -> np.ndarray:
    rng = np.random.default_rng(8)
    steps = [np.eye(3)[0]]
    while len(steps) < N_COLLINEAR - 1:
        step = np.eye(3)[rng.integers(3)] * rng.choice([-1, 1])
        if step @ steps[-1] >= 0:
            steps.append(step)
    return 0.15 * np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])


COLLINEAR = {
    "straight": bent_chain(cycled(0.0)),
    "straight at the start": bent_chain([0.0] * 5 + [1.2] * (N_COLLINEAR - 7)),
    "straight at the end": bent_chain([1.2] * (N_COLLINEAR - 7) + [0.0] * 5),
    "straight parts": bent_chain(cycled(0.0, 0.0, 1.2, 0.0, 0.9)),
    "bent by 1e-4": bent_chain(cycled(1e-4)),
    "bent by 1e-4 and more": bent_chain(cycled(1e-4, 1.2, 1e-4, 1e-4, 0.3)),
    "bent by 1e-2": bent_chain(cycled(1e-2)),
    "folded back": bent_chain(cycled(np.pi, 1.2, 0.0, np.pi, 0.4)),
    "lattice walk": lattice_walk(),
}


def test_collinear_atoms_come_back_exactly():
    frames = np.stack(list(COLLINEAR.values()))
    tree = chain_tree(N_COLLINEAR)
    with jax.enable_x64(True):
        _, built = round_trip(tree, frames)
        _, single = round_trip(tree, frames.astype(np.float32))
    for name, frame, back, other in zip(COLLINEAR, frames, built, single, strict=True):
        assert worst_deviation(back, frame) < 1e-12, name
        assert worst_deviation(other, frame.astype(np.float32)) < 2e-6, name


def test_torsions_that_collinear_atoms_leave_open_are_zero_and_no_motion_changes_any(x64):
    tree = chain_tree(N_COLLINEAR)
    names = [name for name in COLLINEAR if "1e" not in name]
    frames = np.stack([COLLINEAR[name] for name in names])
    frames = frames - frames.mean(axis=1, keepdims=True)
    coordinates = round_trip(tree, frames)[0]
    moved = round_trip(tree, np.stack([turned(frame, 5) for frame in frames]))[0]
    torsions = coordinates[2]
    np.testing.assert_array_equal(torsions[names.index("straight")], 0.0)
    # The first atom off the line has nothing to count from.
    start = torsions[names.index("straight at the start")]
    assert wrapped(start[:5]).max() < 1e-15
    assert wrapped(start[5:]).min() > 1e-3
    np.testing.assert_allclose(coordinates[1], moved[1], atol=1e-12)
    # Angles of 1e-12 between bonds are rounding.
    assert wrapped(torsions - moved[2]).max() < 1e-11


def test_an_eldest_sibling_on_the_axis_gives_the_others_a_place_to_count_from(x64):
    # A carbon whose first branch continues the bond from its parent, and two more branches.
    bonds = np.array([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (3, 7), (3, 8)])
    positions = np.array(
        [
            [0, 1, 0],
            [0, 0, 0],
            [1, 0, 0],
            [1.5, 1, 0.2],
            [2, 2, 0.4],
            [3, 2, 1],
            [3, 3, 1],
            [1, 1, 1],
            [2, 0, 1.0],
        ]
    )
    tree = bond_tree(bonds, 9, positions=positions[None])
    placed = positions[list(tree.atoms)]
    coordinates, built = round_trip(tree, np.stack([placed, turned(placed, 2)]))
    assert worst_deviation(built[0], placed) < 1e-12
    assert worst_deviation(built[1], placed) < 1e-12
    assert wrapped(coordinates[2][0] - coordinates[2][1]).max() < 1e-12


def test_gradients_are_those_of_finite_differences(x64, rng):
    tree, positions = random_molecule(rng, 9, 3)
    along = rng.normal(size=positions.shape)
    weights = rng.normal(size=3 * 9)

    def answer(step):
        lengths, angles, torsions = measure(tree, jnp.asarray(positions) + step * jnp.asarray(along))
        built = build(tree, lengths, angles, 0.5 * torsions)
        numbers = jnp.concatenate([lengths, angles, jnp.sin(torsions), built.reshape(-1)])
        return jnp.sum(numbers * jnp.asarray(np.resize(weights, numbers.shape)))

    answers = jax.jit(jax.vmap(jax.value_and_grad(answer)))(jnp.asarray([-1e-6, 0.0, 1e-6]))
    # Central differences: truncation below 1e-9, rounding 1e-15 / 1e-6.
    np.testing.assert_allclose((answers[0][2] - answers[0][0]) / 2e-6, answers[1][1], rtol=1e-6)


def test_gradients_stay_finite_where_atoms_are_collinear_or_coincide():
    frames = np.stack([*COLLINEAR.values(), np.zeros((N_COLLINEAR, 3))]).astype(np.float32)
    tree = chain_tree(N_COLLINEAR)

    def answer(frame):
        lengths, angles, torsions = measure(tree, frame)
        return jnp.sum(build(tree, lengths, angles, torsions) ** 2) + jnp.sum(jnp.sin(torsions))

    assert bool(jnp.all(jnp.isfinite(jax.jit(jax.vmap(jax.grad(answer)))(jnp.asarray(frames)))))


@pytest.mark.parametrize("dims", [2, 3])
def test_compiled_and_uncompiled_agree(rng, dims):
    tree, positions = random_molecule(rng, 7, dims)
    _, built = round_trip(tree, positions[None].astype(np.float32))
    eager = build(tree, *measure(tree, jnp.asarray(positions, jnp.float32)))
    np.testing.assert_allclose(built[0], eager, atol=1e-6)


def test_a_chain_of_1000_bonds_takes_ten_rounds():
    tree = chain_tree(1001)
    program = jax.make_jaxpr(lambda *coordinates: build(tree, *coordinates))(
        jnp.zeros(1000), jnp.zeros(999), jnp.zeros(998)
    )
    products = [equation for equation in program.eqns if equation.primitive.name == "dot_general"]
    assert len(products) == 10
    assert not {"scan", "while"} & {equation.primitive.name for equation in program.eqns}
    back = jax.make_jaxpr(lambda frame: measure(tree, frame))(jnp.zeros((1001, 3)))
    (loop,) = [equation for equation in back.eqns if equation.primitive.name == "scan"]
    assert loop.params["length"] == 10


def test_atoms_are_placed_from_frames_that_only_earlier_atoms_fix(rng):
    tree, positions = random_molecule(rng, 8, 3)

    @jax.jit
    def derivative(frame):
        return jax.jacfwd(lambda frame: reference_frames(tree, frame))(frame)

    origins, axes = derivative(jnp.asarray(positions, jnp.float32))
    for step in range(1, 8):
        assert not np.any(np.asarray(axes)[step - 1, :, :, step:])
        assert not np.any(np.asarray(origins)[step - 1, :, step:])
    assert np.any(np.asarray(axes)[6, :, :, :7])


@pytest.mark.parametrize("dims", [2, 3])
def test_reference_frames_hold_the_measured_coordinates(rng, dims):
    tree, positions = random_molecule(rng, 10, dims)
    frame = jnp.asarray(positions, jnp.float32)
    origins, axes = reference_frames(tree, frame)
    lengths, angles, torsions = measure(tree, frame)
    np.testing.assert_allclose(
        jnp.einsum("nda,ndb->nab", axes, axes), np.broadcast_to(np.eye(dims), (9, dims, dims)), atol=1e-5
    )
    local = np.asarray(jnp.einsum("nd,nda->na", frame[1:] - origins, axes))[dims - 1 :]
    lengths = np.asarray(lengths)[dims - 1 :]
    if dims == 2:
        expected = lengths[:, None] * np.stack([np.cos(torsions), np.sin(torsions)], axis=1)
    else:
        bends = np.asarray(angles)[1:]
        across = lengths * np.sin(bends)
        expected = np.stack(
            [-lengths * np.cos(bends), across * np.cos(torsions), across * np.sin(torsions)], 1
        )
    np.testing.assert_allclose(local, expected, atol=1e-6)
