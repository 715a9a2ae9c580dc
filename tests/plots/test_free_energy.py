import numpy as np
import pytest

from polyvae.analysis import free_energy_basins, free_energy_surface, minimum_free_energy_path
from polyvae.plots import plot_free_energy, to_png


@pytest.fixture
def wells(rng) -> np.ndarray:
    side = rng.choice([-1.0, 1.0], size=4000)
    return np.stack([side + 0.4 * rng.normal(size=4000), rng.normal(size=4000)], axis=1)


def test_a_line_has_its_error_band_and_names_badly_sampled_bins(wells):
    surface = free_energy_surface(wells[:, 0], num_samples=40, names=["x (nm)"])
    basins = free_energy_basins(surface)
    path = minimum_free_energy_path(surface, basins.minima[0], basins.minima[1])
    ax = plot_free_energy(surface, basins=basins, path=path)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (nm)", "free energy (kJ/mol)")
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["± 1 s.e.", "fewer than 5 independent visits", "minimum path"]
    assert [text.get_text() for text in ax.texts] == ["A", "B"]
    good = ~surface.badly_sampled
    np.testing.assert_array_equal(ax.lines[0].get_ydata()[good], surface.energy[good])
    assert np.isnan(ax.lines[0].get_ydata()[~good]).all()


def test_a_map_shows_energies_up_to_the_highest_asked_for(wells):
    surface = free_energy_surface(wells, units="kT", num_samples=20, names=["x", "y"])
    ax = plot_free_energy(surface, max_energy=3.0)
    cells = ax.collections[0]
    assert cells.get_clim() == (0.0, 3.0)
    shown = np.ma.masked_invalid(surface.energy).T
    assert np.array_equal(
        np.ma.getmaskarray(cells.get_array()), np.ma.getmaskarray(shown) | (shown.filled(9) > 3.0)
    )
    assert ax.figure.axes[1].get_ylabel() == "free energy (kT)"
    assert to_png(ax).startswith(b"\x89PNG")


def test_a_path_across_a_period_is_drawn_in_two_pieces(rng):
    angles = np.stack([rng.uniform(-np.pi, np.pi, 20_000), rng.normal(size=20_000)], axis=1)
    surface = free_energy_surface(angles, periods=(2 * np.pi, None), num_samples=(36, 10))
    path = minimum_free_energy_path(surface, [-2.8, 0.0], [2.8, 0.0])
    ax = plot_free_energy(surface, path=path)
    drawn = ax.lines[-1].get_xdata()
    assert np.isnan(drawn).sum() == 1
    assert np.nanmax(np.abs(drawn)) <= np.pi
