"""The page in short: each verdict and each advice follows from the numbers."""

import pytest

from polyvae.report.answers import named_answers
from polyvae.report.short import in_short

HEALTHY = {
    "diagnosis": {
        "status": "healthy",
        "sentence": "Healthy: 4.00 nats per frame; swapping z costs 60 ± 1 nats.",
    },
    "reconstruction": {"rmsd": 0.4, "pca_rmsd": 0.5, "ratio_to_pca": 0.8, "train_rmsd": 0.39, "unit": "nm"},
    "marginals": {"w1_mean": 0.01, "floor_w1_mean": 0.01, "ratio_to_floor": 1.0, "unit": "nm"},
    "latent": {"largest_step_fraction": 0.1},
}


def _short(**changes):
    summary = {**HEALTHY, **changes}
    return in_short(summary, named_answers(summary))


def test_a_good_model_is_called_good_and_put_to_use():
    short = _short()
    assert short.verdict == "good"
    assert short.quality[0].startswith("Yes, as a coordinate, and")
    assert [step.partition(":")[0] for step in short.next] == ["Use it"]


@pytest.mark.parametrize(("ratio", "said"), [(2.0, "come near the data"), (9.0, "not yet those of the data")])
def test_a_generator_that_is_not_there_yet_is_told_apart_from_the_coordinate(ratio, said):
    short = _short(marginals={"w1_mean": 0.1, "floor_w1_mean": 0.01, "ratio_to_floor": ratio, "unit": "nm"})
    assert short.verdict == "fair"
    assert said in short.quality[0]
    assert any("--latent-dim" in step for step in short.next)


def test_a_collapsed_latent_comes_first_with_its_remedy():
    sentence = "Collapsed: 0.01 nats per frame; swapping z costs 0 ± 1 nats. Beta too large: lower beta."
    short = _short(diagnosis={"status": "collapsed", "sentence": sentence, "remedy": "lower `beta` to 0.1"})
    assert short.verdict == "poor"
    assert short.next[0] == "Lower `beta` to 0.1."
    assert not any(step.startswith("Use it") for step in short.next)
    # The remedy stands once.
    assert short.quality[1].endswith("costs 0 ± 1 nats.")


def test_training_that_still_gains_asks_for_twice_the_epochs():
    assert any(
        "`--epochs 200`" in step for step in _short(training={"still_rising": True, "epochs": 100}).next
    )


def test_overfitting_asks_for_data():
    rebuilt = {**HEALTHY["reconstruction"], "train_rmsd": 0.1}
    assert any(step.startswith("The model overfits") for step in _short(reconstruction=rebuilt).next)


def test_coordinates_are_told_by_what_they_follow():
    meaning = {
        "coordinates": [
            {"coordinate": 0, "observable": "the radius of gyration", "correlation": -0.93},
            {"coordinate": 1, "observable": "the torsion φ of ALA2", "correlation": 0.6},
            {"coordinate": 2, "observable": "the distance between the ends", "correlation": 0.1},
        ],
        "together": [{"observable": "the radius of gyration", "share": 0.9}],
    }
    first, second, third, together, _ = _short(meaning=meaning).meaning
    assert first == "z1 follows the radius of gyration (correlation −0.93)."
    assert second.startswith("z2 leans on the torsion φ of ALA2")
    assert third.startswith("z3 rises and falls with no simple observable; the nearest is the distance")
    assert "90 % of the radius of gyration" in together


def test_the_score_is_counted_beside_its_noise_floor():
    rows = [
        {"name": "pair_distance_w1_mean", "value": 0.02, "floor": 0.01, "unit": "nm", "verdict": "close"},
        {"name": "bond_w1_mean", "value": 0.5, "floor": 0.01, "unit": "nm", "verdict": "wrong"},
    ]
    said = _short(score={"rows": rows}).quality[-1]
    assert "2 numbers: 1 close, 1 wrong" in said
    assert "0.0200 nm on average, beside a noise floor of 0.0100 nm" in said


def test_nothing_measured_is_said_and_not_judged():
    short = in_short({}, named_answers({}))
    assert short.verdict == "unknown"
    assert short.meaning == ["Not measured in this run."]
    assert len(short.next) == 1


def test_a_slow_coordinate_is_judged_as_one():
    poor = {**HEALTHY["reconstruction"], "ratio_to_pca": 1.5}
    jumping = {"reconstruction": poor, "latent": {"largest_step_fraction": 0.9}}
    plain = _short(**jumping)
    assert plain.verdict == "poor"
    assert any(step.startswith("The coordinate jumps") for step in plain.next)
    slow = _short(**jumping, training={"lag_time": 10, "vamp_weight": 100.0})
    assert slow.verdict == "good"
    assert "`--lag-time 10`" in slow.next[0]
    assert not any("jumps" in step or "PCA: train longer" in step for step in slow.next)
    assert any("trained to be slow over 10 frames" in sentence for sentence in slow.quality)
    # A lag time of a plain model says nothing.
    assert _short(**jumping, training={"lag_time": 0, "vamp_weight": 0.0}).verdict == "poor"
