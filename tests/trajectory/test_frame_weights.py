"""Weights that come apart from the frames: which frames they belong to, and what is refused."""

import numpy as np
import pytest

import polyvae as pv
from polyvae.errors import InputError

N_FRAMES = 12
WEIGHTS = np.linspace(0.0, 1.1, N_FRAMES)


@pytest.fixture
def positions(rng) -> np.ndarray:
    return rng.normal(size=(N_FRAMES, 4, 3)).astype("f4")


def loaded(positions, weights, **options):
    return pv.load(positions, units="reduced", weights=weights, **options).weights


def test_weights_of_the_frames_taken_or_of_those_stored_are_the_same(positions):
    np.testing.assert_array_equal(loaded(positions, WEIGHTS), WEIGHTS)
    expected = WEIGHTS[3:11:2]
    np.testing.assert_array_equal(loaded(positions, WEIGHTS, start=3, stop=11, stride=2), expected)
    np.testing.assert_array_equal(loaded(positions, expected, start=3, stop=11, stride=2), expected)


def test_weights_of_several_files_follow_their_order(positions, tmp_path):
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    np.save(paths[0], positions[:5])
    np.save(paths[1], positions[5:])
    np.testing.assert_array_equal(
        loaded(paths, WEIGHTS, start=1, stride=3), np.concatenate([WEIGHTS[:5][1::3], WEIGHTS[5:][1::3]])
    )


@pytest.mark.parametrize("name", ["weights.npy", "weights.txt"])
def test_weights_are_read_from_files(positions, tmp_path, name):
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, WEIGHTS[:, None])
    else:
        np.savetxt(path, WEIGHTS, header="reweighted")
    # Text has every digit of a float64.
    np.testing.assert_array_equal(loaded(positions, path), WEIGHTS)
    np.testing.assert_array_equal(loaded(positions, str(path), stride=4), WEIGHTS[::4])


def test_weights_of_an_npz_file_are_replaced(positions, tmp_path):
    np.savez(tmp_path / "run.npz", positions=positions, weights=np.ones(N_FRAMES), units="reduced")
    np.testing.assert_array_equal(pv.load(tmp_path / "run.npz", weights=WEIGHTS).weights, WEIGHTS)


def test_weights_that_fit_no_frames_are_refused(positions, tmp_path):
    with pytest.raises(
        InputError, match=r"each of the 6 frames taken, or of the 12 stored; got shape \(7,\)"
    ):
        loaded(positions, np.ones(7), stride=2)
    bad = np.where(np.arange(N_FRAMES) == 4, -1.0, 1.0)
    with pytest.raises(InputError, match="`weights` must be finite and not negative; got -1.0 for frame 4"):
        loaded(positions, bad)
    with pytest.raises(InputError, match="none.txt: `weights` names a file that does not exist"):
        loaded(positions, tmp_path / "none.txt")
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    with pytest.raises(InputError, match="words.txt: `weights` must be an .npy file or a text file"):
        loaded(positions, tmp_path / "words.txt")
