"""What the numbers of a run say, in words: one question, one answer and one verdict each.

The bounds between good, fair and poor are conventions, stated in the answers: an error within 1.5 times the
noise floor counts as being as good as data, within 3 times as near it; PCA counts as beaten below 0.95 of
its error; a latent below 0.1 nats carries nothing; a step across a quarter of the latent span is a jump.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from polyvae.report.summary import count, number, part, text

Verdict = Literal["good", "fair", "poor", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question that the run answers.

    Attributes:
        question: in plain words.
        answer: in plain words, with the numbers it rests on.
        verdict: how good that is; "unknown" where the run did not measure it or nothing stands beside it.
    """

    question: str
    answer: str
    verdict: Verdict


def answers_of(summary: Mapping[str, Any]) -> list[Answer]:
    """The answers that the summary of a run holds, in the order of the page; parts may be missing."""
    return list(named_answers(summary).values())


def named_answers(summary: Mapping[str, Any]) -> dict[str, Answer]:
    """The same under the name of what each is about."""
    return {
        "training": _training(part(summary, "training")),
        "reconstruction": _reconstruction(part(summary, "reconstruction")),
        "distances": _distances(part(summary, "marginals")),
        "information": _information(
            part(summary, "training"), part(summary, "likelihood"), part(summary, "diagnosis")
        ),
        "likelihood": _likelihood(part(summary, "likelihood")),
        "continuity": _continuity(part(summary, "latent")),
        "compact": _compact(part(summary, "compact")),
    }


def _training(training: Mapping[str, Any]) -> Answer:
    question = "Did training come to an end?"
    status, epochs, best = training.get("status"), number(training, "epochs"), number(training, "best_epoch")
    if status is None:
        return _unknown(question)
    ended: dict[str, tuple[str, str, Verdict]] = {
        "finished": ("Yes, all epochs were run", "", "good"),
        "early": ("Yes, it stopped when the validation bound no longer rose", "", "good"),
        "interrupted": ("No, it was interrupted", " Resume it.", "fair"),
        "diverged": ("No, a loss was not finite", " Lower the learning rate.", "poor"),
    }
    words, advice, verdict = ended.get(str(status), (f"Its status is {status}", "", "unknown"))
    if best is not None and epochs is not None:
        words = f"{words}; the model is that of epoch {count(best)} of {count(epochs)}"
    if status == "finished" and training.get("still_rising") is True:
        gain = text(number(training, "late_gain"), "nats per frame")
        advice = f" The last fifth of the epochs still raised the validation bound by {gain}: more may help."
    degenerate = number(training, "degenerate_frames")
    note = f" {count(degenerate)} frames have a nearly undetermined orientation." if degenerate else ""
    return Answer(question=question, answer=f"{words}.{advice}{note}", verdict=verdict)


def _reconstruction(section: Mapping[str, Any]) -> Answer:
    question = "Do frames that training never saw come back from the latent?"
    rmsd, pca, ratio = (number(section, name) for name in ("rmsd", "pca_rmsd", "ratio_to_pca"))
    if rmsd is None or pca is None or ratio is None:
        return _unknown(question)
    unit = _unit(section)
    numbers = f"{text(rmsd, unit)} RMSD, against {text(pca, unit)} for PCA of the same dimension"
    if ratio < 0.95:
        words, verdict = f"Better than PCA by {100 * (1 - ratio):.0f} %", "good"
    elif ratio <= 1.05:
        words, verdict = "About as well as PCA", "fair"
    else:
        words, verdict = f"Worse than PCA by {100 * (ratio - 1):.0f} %", "poor"
    train = number(section, "train_rmsd")
    overfit = train is not None and train > 0 and rmsd > 1.3 * train
    note = f" The model overfits: training frames come back with {text(train, unit)}." if overfit else ""
    verdict = "fair" if overfit and verdict == "good" else verdict
    return Answer(question=question, answer=f"{words}: {numbers}.{note}", verdict=verdict)


def _distances(section: Mapping[str, Any]) -> Answer:
    question = "Do generated conformations have the distances of the data?"
    ratio, error, floor = (number(section, name) for name in ("ratio_to_floor", "w1_mean", "floor_w1_mean"))
    if ratio is None or error is None or floor is None:
        return _unknown(question)
    if ratio <= 1.5:
        words, verdict = "Yes, as nearly as two halves of the data have each other's", "good"
    elif ratio <= 3.0:
        words, verdict = "Nearly", "fair"
    else:
        words, verdict = "Not yet", "poor"
    unit = _unit(section)
    known = {
        "a full-covariance Gaussian": number(section, "gaussian_w1_mean"),
        "a Gaussian chain": number(section, "null_model_w1_mean"),
    }
    models = " and ".join(f"{name} {text(value, unit)}" for name, value in known.items() if value is not None)
    beside = f" Without any latent, {models}." if models else ""
    numbers = f"{text(error, unit)}, {text(ratio, digits=2)} times the noise floor of {text(floor, unit)}"
    answer = f"{words}: the mean W₁ over pairs is {numbers}.{beside}"
    return Answer(question=question, answer=answer, verdict=verdict)


_STATUS_VERDICTS: dict[str, Verdict] = {
    "healthy": "good",
    "partly collapsed": "fair",
    "mismatched": "fair",
    "rate target missed": "fair",
    "not converged": "poor",
    "latent ignored": "poor",
    "collapsed": "poor",
}


def _information(
    training: Mapping[str, Any], likelihood: Mapping[str, Any], diagnosis: Mapping[str, Any]
) -> Answer:
    question = "Does the latent carry information?"
    status, sentence = diagnosis.get("status"), diagnosis.get("sentence")
    if status in _STATUS_VERDICTS and isinstance(sentence, str):
        return Answer(question=question, answer=sentence, verdict=_STATUS_VERDICTS[str(status)])
    rate = number(likelihood, "rate")
    rate = number(training, "rate_nats") if rate is None else rate
    if rate is None:
        return _unknown(question)
    kl = training.get("kl_per_dimension")
    each = [float(value) for value in kl] if isinstance(kl, list | tuple) else []
    used = f", in {sum(value > 0.1 for value in each)} of {len(each)} dimensions" if each else ""
    if rate < 0.1:
        words, verdict = "Hardly any: the decoder ignores the latent. Lower `beta` or train longer", "poor"
    else:
        words, verdict = "Yes", "good"
    bits = f"{text(rate)} nats ({text(rate / math.log(2), digits=2)} bits) per frame{used}"
    return Answer(question=question, answer=f"{words}: {bits}.", verdict=verdict)


def _likelihood(section: Mapping[str, Any]) -> Answer:
    question = "How probable are held-out frames under the model?"
    names = ("vae_iwae", "gaussian", "gaussian_chain")
    vae, gaussian, chain = (number(section, name) for name in names)
    if vae is None:
        return _unknown(question)
    others = {"a full-covariance Gaussian": gaussian, "the Gaussian chain without latent": chain}
    known = {name: value for name, value in others.items() if value is not None}
    if not known:
        return Answer(question=question, answer=f"{text(vae, digits=4)} nats per frame.", verdict="unknown")
    beaten = [name for name, value in known.items() if vae > value]
    if len(beaten) == len(known):
        words, verdict = "More probable than under the models without a latent", "good"
    elif beaten:
        words, verdict = f"More probable than under {beaten[0]}, less than under the other", "fair"
    else:
        words, verdict = "Less probable than under the models without a latent", "poor"
    numbers = "; ".join(f"{text(value, digits=4)} for {name}" for name, value in known.items())
    return Answer(
        question=question,
        answer=f"{words}: {text(vae, digits=4)} nats per frame; {numbers} (higher is better).",
        verdict=verdict,
    )


def _continuity(section: Mapping[str, Any]) -> Answer:
    question = "Does the latent move without jumps?"
    step = number(section, "largest_step_fraction")
    if step is None:
        return _unknown(question)
    words = f"The largest step from one frame to the next is {100 * step:.0f} % of the latent span"
    if step <= 0.25:
        return Answer(question=question, answer=f"Yes. {words}.", verdict="good")
    return Answer(
        question=question,
        answer=f"No. {words}. That says something about the model only where frames lie close in time.",
        verdict="fair",
    )


def _compact(section: Mapping[str, Any]) -> Answer:
    question = "How compact can the molecule be?"
    starts, valid = number(section, "starts"), number(section, "valid")
    if starts is None or valid is None:
        return _unknown(question)
    unit, best, low = _unit(section), number(section, "best"), number(section, "data_minimum")
    counts = f"{count(valid)} of {count(starts)} descents led to a structure with the data's geometry"
    if not valid or best is None:
        return Answer(
            question=question,
            answer="No descent led to a structure with the data's geometry, so none is reported.",
            verdict="poor",
        )
    numbers = f"radius of gyration {text(best, unit)}, smallest in the data {text(low, unit)}"
    if low is None:
        words, verdict = "The data's own smallest is not known", "unknown"
    elif best < low:
        words, verdict = "More compact than any frame of the data", "good"
    else:
        words, verdict = "The search did not get below the data", "fair"
    return Answer(question=question, answer=f"{words}: {numbers}. {counts}.", verdict=verdict)


def _unit(section: Mapping[str, Any]) -> str:
    return str(section.get("unit") or "")


def _unknown(question: str) -> Answer:
    return Answer(question=question, answer="Not measured in this run.", verdict="unknown")
