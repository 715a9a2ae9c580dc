import numpy as np

from polyvae.analysis import LikelihoodComparison, LogLikelihood
from polyvae.plots import plot_likelihoods


def _comparison(value: float, *, has_chain: bool = True) -> LikelihoodComparison:
    def of(mean: float) -> LogLikelihood:
        # Mean as given, standard deviation 1, standard error 1 / sqrt(99).
        return LogLikelihood(per_frame=mean + np.tile([-1.0, 1.0], 50), samples=1)

    return LikelihoodComparison(
        model=of(value), gaussian=of(-3.0), chain=of(-5.0) if has_chain else None, rate=1.0
    )


def test_families_stand_over_their_settings_beside_models_without_latent():
    ax = plot_likelihoods(
        {"beta 1": {2: _comparison(-2.0), 16: _comparison(-1.0)}, "beta 3": {16: _comparison(-4.0)}}
    )
    first, second = ax.containers
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[-0.03, -2.0], [0.97, -1.0]])
    np.testing.assert_allclose(second.lines[0].get_xydata(), [[1.03, -4.0]])
    (bars,) = first.lines[2]
    np.testing.assert_allclose(np.ptp(bars.get_segments()[0][:, 1]), 4.0 / np.sqrt(99.0))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "16"]
    levels = {
        line.get_label(): line.get_ydata()[0] for line in ax.lines if "no latent" in str(line.get_label())
    }
    assert levels == {"one Gaussian, no latent": -3.0, "Gaussian chain, no latent": -5.0}


def test_an_absent_chain_is_left_out():
    ax = plot_likelihoods({"beta 1": {2: _comparison(-2.0, has_chain=False)}})
    assert not any("chain" in str(line.get_label()) for line in ax.lines)
