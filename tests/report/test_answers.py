import math

import pytest

from polyvae.report import answers_of


def _answer(summary: dict, question: str):
    (found,) = (answer for answer in answers_of(summary) if question in answer.question)
    return found


@pytest.mark.parametrize(
    ("ratio", "verdict", "words"),
    [
        (0.8, "good", "Better than PCA by 20 %"),
        (1.0, "fair", "About as well"),
        (1.5, "poor", "Worse than PCA by 50 %"),
    ],
)
def test_reconstruction_is_judged_beside_pca(ratio, verdict, words):
    section = {"rmsd": 0.1 * ratio, "pca_rmsd": 0.1, "ratio_to_pca": ratio, "unit": "nm"}
    answer = _answer({"reconstruction": section}, "come back")
    assert answer.verdict == verdict
    assert answer.answer.startswith(words)
    assert f"{0.1 * ratio:#.3g} nm RMSD, against 0.100 nm" in answer.answer


def test_overfitting_is_said_and_is_not_good():
    section = {"rmsd": 0.1, "pca_rmsd": 0.2, "ratio_to_pca": 0.5, "train_rmsd": 0.05, "unit": "nm"}
    answer = _answer({"reconstruction": section}, "come back")
    assert answer.verdict == "fair"
    assert "overfits: training frames come back with 0.0500 nm" in answer.answer


@pytest.mark.parametrize(("ratio", "verdict"), [(1.0, "good"), (1.5, "good"), (2.0, "fair"), (9.0, "poor")])
def test_distances_are_judged_by_the_noise_floor(ratio, verdict):
    section = {"w1_mean": 0.01 * ratio, "floor_w1_mean": 0.01, "ratio_to_floor": ratio, "unit": "σ"}
    answer = _answer({"marginals": {**section, "null_model_w1_mean": 0.02}}, "distances")
    assert answer.verdict == verdict
    assert f"{ratio:.1f} times the noise floor of 0.0100 σ" in answer.answer
    assert "Without any latent, a Gaussian chain 0.0200 σ" in answer.answer


def test_the_diagnosis_speaks_for_the_latent_where_there_is_one():
    section = {"status": "partly collapsed", "sentence": "Partly collapsed: 2.30 nats in 1 of 2 dimensions."}
    answer = _answer({"diagnosis": section, "training": {"rate_nats": 5.0}}, "information")
    assert (answer.verdict, answer.answer) == ("fair", section["sentence"])
    verdicts = [
        _answer({"diagnosis": {**section, "status": status}}, "information").verdict
        for status in ("healthy", "mismatched", "latent ignored", "collapsed")
    ]
    assert verdicts == ["good", "fair", "poor", "poor"]


def test_information_is_told_in_nats_and_bits_and_dimensions():
    summary = {
        "training": {"kl_per_dimension": [2 * math.log(2), 0.01]},
        "likelihood": {"rate": 2 * math.log(2)},
    }
    answer = _answer(summary, "information")
    assert answer.verdict == "good"
    assert answer.answer == "Yes: 1.39 nats (2.0 bits) per frame, in 1 of 2 dimensions."


def test_a_collapsed_latent_is_poor():
    assert _answer({"training": {"rate_nats": 0.01}}, "information").verdict == "poor"


@pytest.mark.parametrize(
    ("gaussian", "chain", "verdict"), [(-3, -4, "good"), (-1, -4, "fair"), (-1, -1, "poor")]
)
def test_likelihood_is_judged_beside_models_without_latent(gaussian, chain, verdict):
    section = {"vae_iwae": -2.0, "gaussian": gaussian, "gaussian_chain": chain}
    answer = _answer({"likelihood": section}, "probable")
    assert answer.verdict == verdict
    assert "−2.000 nats per frame" in answer.answer


def test_likelihood_without_baseline_has_no_verdict():
    assert _answer({"likelihood": {"vae_iwae": -2.0}}, "probable").verdict == "unknown"


@pytest.mark.parametrize(("step", "verdict"), [(0.1, "good"), (0.81, "fair")])
def test_jumps_of_the_latent_are_told(step, verdict):
    answer = _answer({"latent": {"largest_step_fraction": step}}, "jumps")
    assert answer.verdict == verdict
    assert f"{100 * step:.0f} % of the latent span" in answer.answer


@pytest.mark.parametrize(
    ("best", "valid", "verdict"), [(1.0, 92, "good"), (1.4, 92, "fair"), (None, 0, "poor")]
)
def test_compact_structures_are_judged_by_the_data(best, valid, verdict):
    section = {"starts": 100, "valid": valid, "best": best, "data_minimum": 1.2, "unit": "nm"}
    answer = _answer({"compact": section}, "compact")
    assert answer.verdict == verdict
    assert ("none is reported" in answer.answer) == (best is None)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("finished", "good"), ("early", "good"), ("interrupted", "fair"), ("diverged", "poor")],
)
def test_the_end_of_training_is_told(status, verdict):
    section = {"status": status, "epochs": 200, "best_epoch": 80, "degenerate_frames": 3}
    answer = _answer({"training": section}, "training come to an end")
    assert answer.verdict == verdict
    assert "epoch 80 of 200" in answer.answer
    assert "3 frames have a nearly undetermined orientation" in answer.answer


@pytest.mark.parametrize("rising", [True, False])
def test_a_bound_that_still_rises_is_told(rising):
    section = {"status": "finished", "late_gain": 1.5 if rising else 0.5, "still_rising": rising}
    told = _answer({"training": section}, "training come to an end").answer
    assert ("still raised the validation bound by 1.50 nats per frame" in told) == rising


@pytest.mark.parametrize(
    "summary", [{}, {"marginals": None, "compact": None}, {"marginals": {"w1_mean": math.nan}}]
)
def test_what_was_not_measured_has_no_verdict(summary):
    assert {answer.verdict for answer in answers_of(summary)} == {"unknown"}
