"""The film: what is drawn in a picture, and how many there are."""

import mdtraj
import numpy as np
import pytest

from polyvae.analysis import free_energy_surface
from polyvae.errors import InputError
from polyvae.plots import latent_film
from polyvae.storage import save_film
from polyvae.trajectory import Trajectory


@pytest.fixture
def make_frames(rng, make_chain):
    def make(frames=40, atoms=6, dims=2, **options) -> Trajectory:
        positions = rng.normal(size=(frames, atoms, dims)).astype(np.float32)
        return Trajectory(positions=positions, bonds=make_chain(atoms), **options)

    return make


def _picture(film, number: int):
    """Axes of the map and of the molecule in a picture."""
    film._draw_was_started = True
    film._draw_frame(number)
    _, left, right = film._fig.axes
    return left, right


def test_point_and_time_are_those_of_the_frame_shown(make_latent, make_frames):
    latent = make_latent(frames=40)
    film = latent_film(latent, make_frames(40), frames=10, trail=2)
    left, right = _picture(film, 3)
    # 40 frames in 10 pictures: every 4th.
    np.testing.assert_array_equal(left.lines[0].get_xydata(), latent.mean[12:13])
    assert right.get_title("left") == "12 ps, every 4th of 40 frames"
    (trail,) = left.collections
    np.testing.assert_array_equal(trail.get_segments(), [latent.mean[[4, 8]], latent.mean[[8, 12]]])


def test_a_path_in_small_steps_is_drawn_through_all_of_its_frames(make_latent, make_frames):
    latent = make_latent(frames=40)
    turn = np.linspace(0, 2 * np.pi, 40)
    latent.mean[:] = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    left, _ = _picture(latent_film(latent, make_frames(40), frames=10, trail=2), 3)
    np.testing.assert_array_equal(
        left.collections[0].get_segments(), np.stack([latent.mean[4:12], latent.mean[5:13]], axis=1)
    )


def test_trail_crosses_no_join(make_latent, make_frames):
    latent = make_latent(frames=10, segments=(4, 6), times=False)
    left, right = _picture(latent_film(latent, make_frames(10, segments=(4, 6)), trail=5), 5)
    np.testing.assert_array_equal(
        left.collections[0].get_segments(), [latent.mean[[i, i + 1]] for i in (0, 1, 2, 4)]
    )
    assert right.get_title("left") == "frame 5, 10 frames"


def test_frames_are_superposed_so_that_nothing_tumbles(make_latent, make_frames, rng):
    frames = make_frames(30, dims=3)
    turns = np.linalg.qr(rng.normal(size=(30, 3, 3)))[0]
    turns[:, 0] *= np.sign(np.linalg.det(turns))[:, None]
    same = frames.replace(positions=(frames.positions[:1] @ turns + 2.0).astype(np.float32))
    film = latent_film(make_latent(frames=30), same)
    beads = [
        np.sort(np.asarray(_picture(film, number)[1].collections[-1].get_offsets()), axis=0)
        for number in (0, 20)
    ]
    # Superposed in single precision, at a distance of 2.
    np.testing.assert_allclose(beads[0], beads[1], atol=2e-5)


def test_larger_proteins_are_a_trace_through_alpha_carbons(make_latent, rng):
    topology = mdtraj.Topology()
    for _ in range(2):
        chain = topology.add_chain()
        for _ in range(12):
            residue = topology.add_residue("ALA", chain)
            for name in ("N", "CA", "C"):
                topology.add_atom(name, mdtraj.element.carbon, residue)
    frames = Trajectory(positions=rng.normal(size=(5, 72, 3)).astype(np.float32), topology=topology)
    _, right = _picture(latent_film(make_latent(frames=5), frames), 1)
    (lines,) = right.collections
    # No line from chain to chain.
    assert len(lines.get_segments()) == 2 * 11


@pytest.mark.parametrize(("latent_dim", "has_surface"), [(1, False), (3, False), (2, True)])
def test_gif_has_one_picture_for_each_frame_shown(
    make_latent, make_frames, tmp_path, latent_dim, has_surface
):
    from PIL import Image

    latent = make_latent(frames=20, latent=latent_dim)
    surface = (
        free_energy_surface(latent, units="kT", kbt=1.0, num_samples=5, blocks=5) if has_surface else None
    )
    film = latent_film(latent, make_frames(20), surface=surface, frames=7)
    save_film(film, tmp_path / "film.gif", fps=10)
    with Image.open(tmp_path / "film.gif") as image:
        # Every third of 20 frames, a tenth of a second each, without end.
        assert image.n_frames == 7
        assert image.info["duration"] == 100
        assert image.info["loop"] == 0
        first = np.asarray(image.convert("RGB"))
        image.seek(6)
        assert (np.asarray(image.convert("RGB")) != first).any()


def test_a_latent_of_other_frames_is_an_error(make_latent, make_frames):
    with pytest.raises(InputError, match="must have the 20 frames of the trajectory; got 30"):
        latent_film(make_latent(frames=30), make_frames(20))
    with pytest.raises(InputError, match="`frames` must be at least 2"):
        latent_film(make_latent(frames=20), make_frames(20), frames=1)
