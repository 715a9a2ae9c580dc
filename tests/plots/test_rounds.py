import numpy as np

from polyvae.analysis import FreeEnergyDifference, FreeEnergyRounds
from polyvae.plots import plot_rounds, to_png


def test_rounds_have_error_bars_and_those_without_an_estimate_a_gap():
    known = [
        FreeEnergyDifference(value=v, error=e, units="kJ/mol", populations=(0.5, 0.5), transitions=9)
        for v, e in ((8.0, 0.5), (9.0, np.inf), (9.5, 0.4))
    ]
    rounds = FreeEnergyRounds(rounds=(1, 2, 3, 4), differences=(known[0], None, *known[1:]))
    ax = plot_rounds(rounds)
    assert ax.get_ylabel() == "free-energy difference (kJ/mol)"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1, 3, 4])
    assert list(ax.get_xticks()) == [1, 2, 3, 4]
    assert to_png(ax).startswith(b"\x89PNG")
    assert not plot_rounds(FreeEnergyRounds(rounds=(1,), differences=(None,))).lines
