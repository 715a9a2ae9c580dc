"""Bad frames are left out as gaps, whatever the format, and never change what is kept."""

import mdtraj
import numpy as np
import pytest
from mdtraj.formats import XTCTrajectoryFile

from polyvae.errors import InputError
from polyvae.trajectory import frame_store, inspect_frames, load, open_trajectory, to_mdtraj
from polyvae.trajectory.skipped import SkippedFrames

SKIP = {"on_bad_frame": "skip"}


@pytest.fixture
def walk(rng) -> np.ndarray:
    """30 frames of 5 beads; 4, 5 and 17 are bad."""
    positions = rng.normal(size=(30, 5, 3)).astype(np.float32)
    positions[4, 2, 1] = np.nan
    positions[5, :] = np.inf
    positions[17, 0, 0] = -np.inf
    return positions


@pytest.fixture
def overwrite_xtc(peptide, tmp_path):
    """Writes the peptide as XTC and breaks one field of some frames; the bytes are counted within a frame."""

    def write(frames, first=4, last=8, content=b"\xff", name="run.xtc"):
        path = tmp_path / name
        peptide.save(str(path))
        with XTCTrajectoryFile(str(path)) as file:
            places = np.array(file.offsets)
        damaged = bytearray(path.read_bytes())
        for frame in frames:
            damaged[places[frame] + first : places[frame] + last] = content * (last - first)
        path.write_bytes(damaged)
        return path

    return write


def kept(n_frames, bad):
    return [frame for frame in range(n_frames) if frame not in bad]


def test_a_bad_frame_is_a_gap_between_two_simulations(walk):
    trajectory = load(walk, **SKIP, time_step=0.5, chunk=7)
    assert trajectory.segments == (4, 11, 12)
    np.testing.assert_array_equal(trajectory.positions, walk[kept(30, (4, 5, 17))])
    np.testing.assert_array_equal(trajectory.times, 0.5 * np.array(kept(30, (4, 5, 17))))
    assert trajectory.skipped == (SkippedFrames(file="array", n_frames=3, first=(4, 5, 17)),)
    assert str(trajectory.skipped[0]) == "array: 3 bad frames left out (4, 5, 17)"


def test_without_a_bad_frame_nothing_changes(rng):
    positions = rng.normal(size=(9, 5, 3))
    skipping, stopping = load(positions, **SKIP), load(positions)
    np.testing.assert_array_equal(skipping.positions, stopping.positions)
    assert (skipping.segments, skipping.skipped) == (stopping.segments, ())


@pytest.mark.parametrize(("start", "stop", "stride"), [(0, None, 2), (1, 18, 4), (3, 6, 1), (5, 30, 3)])
def test_only_frames_of_the_range_matter(walk, start, stop, stride):
    wanted = range(30)[start:stop:stride]
    bad = [frame for frame in wanted if frame in (4, 5, 17)]
    trajectory = load(walk, **SKIP, start=start, stop=stop, stride=stride, time_step=1.0)
    assert trajectory.times.tolist() == [frame for frame in wanted if frame not in bad]
    assert [frame for skipped in trajectory.skipped for frame in skipped.first] == bad
    within = np.split(trajectory.times, np.cumsum(trajectory.segments)[:-1])
    assert all((np.diff(times) == stride).all() for times in within)


def test_bad_atoms_that_are_not_read_do_not_matter(walk):
    trajectory = load(walk, **SKIP, atoms=[3, 4])
    assert trajectory.skipped == (SkippedFrames(file="array", n_frames=1, first=(5,)),)


def test_files_keep_their_order_and_one_may_be_bad_throughout(walk, tmp_path):
    paths = [tmp_path / name for name in ("a.npy", "b.npy", "c.npy")]
    np.save(paths[0], walk[:10])
    np.save(paths[1], np.full((3, 5, 3), np.nan, np.float32))
    np.save(paths[2], walk[10:])
    weights = np.arange(33.0)
    stored = [frame for frame in range(33) if frame not in (4, 5, 10, 11, 12, 20)]
    trajectory = load(paths, **SKIP, weights=weights)
    assert trajectory.segments == (4, 4, 7, 12)
    assert [(skipped.n_frames, skipped.first) for skipped in trajectory.skipped] == [
        (2, (4, 5)),
        (3, (0, 1, 2)),
        (1, (7,)),
    ]
    np.testing.assert_array_equal(trajectory.weights, weights[stored])
    np.testing.assert_array_equal(load(paths, **SKIP, weights=weights[stored]).weights, weights[stored])


def test_weights_of_the_frames_wanted_lose_those_left_out(walk):
    weights = np.linspace(1, 2, 30)
    for given in (weights, weights[1::4], weights[[1, 9, 13, 21, 25, 29]]):
        trajectory = load(walk, **SKIP, start=1, stride=4, weights=given)
        np.testing.assert_array_equal(trajectory.weights, weights[[1, 9, 13, 21, 25, 29]])
    with pytest.raises(InputError, match=r"each of the 6 frames taken.*got shape \(7,\)"):
        load(walk, **SKIP, start=1, stride=4, weights=weights[:7])


def test_weights_and_joins_inside_a_file_are_kept(walk, tmp_path):
    weights = np.linspace(1, 2, 30)
    np.savez(tmp_path / "run.npz", positions=walk, weights=weights, segments=[10, 20], units="reduced")
    trajectory = load(tmp_path / "run.npz", **SKIP)
    assert trajectory.segments == (4, 4, 7, 12)
    np.testing.assert_array_equal(trajectory.weights, weights[kept(30, (4, 5, 17))])


def test_bonds_and_units_are_settled_by_the_first_good_frame(peptide):
    positions = np.array(peptide.xyz)
    positions[:2] = np.nan
    peptide.xyz = positions
    trajectory = load(peptide, **SKIP)
    assert trajectory.segments == (21,)
    assert (trajectory.bond_source, len(trajectory.bonds)) == ("topology", 19)
    np.testing.assert_array_equal(trajectory.times, peptide.time[2:])


def test_molecules_are_whole_around_a_gap(peptide):
    peptide.unitcell_lengths = np.full((23, 3), 3.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    split = np.array(peptide.xyz)
    split[5:, 8:] -= 3.0
    split[7, 19] = np.nan
    whole = load(peptide).positions
    peptide.xyz = split
    # Atom 19 is not chosen, but its molecule is made whole with it.
    trajectory = load(peptide, **SKIP, atoms=[0, 8])
    assert trajectory.segments == (7, 15)
    np.testing.assert_allclose(trajectory.positions, whole[kept(23, (7,))][:, [0, 8]], atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("chunk", [1, 4, 1000])
@pytest.mark.parametrize(
    ("first", "last", "content"),
    [(0, 4, b"\0"), (4, 8, b"\xff"), (60, 72, b"\x7f")],
    ids=["magic number", "number of atoms", "range"],
)
def test_xtc_frames_that_cannot_be_decoded(
    peptide, peptide_pdb, overwrite_xtc, first, last, content, chunk, stride
):
    good = load(overwrite_xtc((), name="good.xtc"), top=peptide_pdb, stride=stride)
    path = overwrite_xtc((6, 7, 18), first, last, content)
    worst = next(frame for frame in (6, 7, 18) if frame % stride == 0)
    with pytest.raises(
        InputError, match=rf'header of frame {worst} is damaged.*`stop={worst}`.*on_bad_frame="skip"'
    ):
        load(path, top=peptide_pdb, chunk=chunk, stride=stride)
    trajectory = load(path, top=peptide_pdb, chunk=chunk, stride=stride, **SKIP)
    wanted = list(range(0, 23, stride))
    bad = [frame for frame in wanted if frame in (6, 7, 18)]
    rows = [row for row, frame in enumerate(wanted) if frame not in bad]
    assert trajectory.skipped == (SkippedFrames(file=str(path), n_frames=len(bad), first=tuple(bad)),)
    np.testing.assert_array_equal(trajectory.positions, good.positions[rows])
    np.testing.assert_array_equal(trajectory.times, good.times[rows])


def test_the_first_frame_may_be_the_one_that_cannot_be_decoded(peptide_pdb, overwrite_xtc):
    path = overwrite_xtc((0, 1), 60, 72, b"\x7f")
    with pytest.raises(InputError, match=r"the header of frame 0 is damaged\. Bad frames"):
        load(path, top=peptide_pdb)
    trajectory = load(path, top=peptide_pdb, **SKIP)
    assert (trajectory.segments, trajectory.skipped[0].first) == ((21,), (0, 1))


def test_a_damaged_box_is_a_bad_frame(peptide, peptide_pdb, overwrite_xtc):
    peptide.unitcell_lengths = np.full((23, 3), 3.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    path = overwrite_xtc((9,), 16, 52, b"\0")
    for read in (
        lambda: load(path, top=peptide_pdb),
        lambda: list(open_trajectory(path, top=peptide_pdb).chunks(4)),
    ):
        with pytest.raises(
            InputError, match=r"the box is missing or damaged in at least one of the frames \d"
        ):
            read()
    trajectory = load(path, top=peptide_pdb, **SKIP)
    assert (trajectory.segments, trajectory.skipped[0].first) == ((9, 13), (9,))
    assert trajectory.box.shape == (22, 3, 3)


def test_hdf5_chunks_that_cannot_be_decoded_and_frames_between_strides(peptide, tmp_path):
    tables = pytest.importorskip("tables")
    path = tmp_path / "run.h5"
    peptide.save(str(path))
    # Every frame gets a compressed chunk of its own, of which one is overwritten.
    with tables.open_file(path, "r+") as file:
        content = file.root.coordinates[:]
        attributes = {name: file.root.coordinates.attrs[name] for name in ("units",)}
        file.remove_node("/coordinates")
        frames = file.create_earray(
            "/",
            "coordinates",
            obj=content,
            chunkshape=(1, 20, 3),
            filters=tables.Filters(complevel=1, complib="zlib"),
        )
        for name, value in attributes.items():
            frames.attrs[name] = value
        file.flush()
        info = frames.chunk_info((9, 0, 0))
    damaged = bytearray(path.read_bytes())
    damaged[info.offset : info.offset + info.size] = b"\x55" * info.size
    path.write_bytes(damaged)
    with pytest.raises(InputError, match='on_bad_frame="skip"'):
        load(path)
    trajectory = load(path, **SKIP)
    assert (trajectory.segments, trajectory.skipped[0].first) == ((9, 13), (9,))
    np.testing.assert_array_equal(trajectory.positions, peptide.xyz[kept(23, (9,))])
    for options in ({}, SKIP):
        strided = load(path, stride=2, chunk=5, **options)
        assert (strided.segments, strided.skipped) == ((12,), ())
        np.testing.assert_array_equal(strided.positions, peptide.xyz[::2])


def test_the_store_holds_the_frames_kept(walk, tmp_path, monkeypatch):
    monkeypatch.setattr(frame_store, "_SHARD_BYTES", 400)
    np.save(tmp_path / "run.npy", walk)
    options = {"store": tmp_path / "store", "memory": 100, **SKIP, "time_step": 1.0}
    in_memory = load(tmp_path / "run.npy", **SKIP, time_step=1.0)
    for _ in range(2):
        stored = load(tmp_path / "run.npy", **options)
        np.testing.assert_array_equal(stored.positions, in_memory.positions)
        np.testing.assert_array_equal(stored.times, in_memory.times)
        assert (stored.segments, stored.skipped) == (in_memory.segments, in_memory.skipped)


def test_the_remedy_is_named_where_a_frame_stops_the_reading(walk):
    with pytest.raises(InputError, match=r'frame 4 holds NaN.*on_bad_frame="skip" \(--on-bad-frame skip\)'):
        load(walk)


def test_all_frames_bad_is_an_error(tmp_path, overwrite_xtc, peptide_pdb):
    with pytest.raises(InputError, match=r"array: each of the 4 frames holds NaN.*cannot be read"):
        load(np.full((4, 5, 3), np.nan), **SKIP)
    path = overwrite_xtc(range(2, 22), 60, 72, b"\x7f")
    with pytest.raises(InputError, match="each of the 20 frames"):
        load(path, top=peptide_pdb, start=2, stop=22, **SKIP)


def test_other_words_are_refused(walk):
    with pytest.raises(InputError, match='`on_bad_frame` must be "stop" or "skip"; got \'drop\''):
        load(walk, on_bad_frame="drop")


def test_a_file_that_ends_inside_a_frame_is_an_error_either_way(peptide, peptide_pdb, tmp_path):
    path = tmp_path / "run.xtc"
    peptide.save(str(path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="truncated"):
        load(path, top=peptide_pdb, **SKIP)


def test_inspection_lists_what_cannot_be_read(peptide_pdb, overwrite_xtc):
    report, _ = inspect_frames(overwrite_xtc((0, 6), 60, 72, b"\x7f"), top=peptide_pdb, chunk=5)
    assert (report.unreadable_frames, report.n_unreadable_frames, report.n_nan_frames) == ((0, 6), 2, 0)
    assert (report.n_frames, report.time_step, report.uniform_times) == (23, 2.0, True)
    (found,) = [finding for finding in report.findings if finding.code == "unreadable-frames"]
    assert (found.what, found.severity) == ("2 of 23 frames cannot be read", "error")
    assert found.command.endswith("--on-bad-frame skip")


def test_mdtraj_gets_the_frames_kept(walk):
    trajectory = load(walk, **SKIP, time_step=1.0)
    converted = to_mdtraj(trajectory)
    assert isinstance(converted, mdtraj.Trajectory)
    np.testing.assert_array_equal(converted.time, kept(30, (4, 5, 17)))
