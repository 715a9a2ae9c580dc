"""The page in short: what the coordinate shows, whether the model is any good, and what to do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyvae.report.answers import Answer, Verdict
from polyvae.report.summary import count, number, part, text

_FOLLOWS, _LEANS = 0.8, 0.5
_DETERMINES = 0.5
_MOST_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class InShort:
    """What a reader should take home.

    Attributes:
        meaning: what the coordinate shows, sentence by sentence.
        quality: whether the model is any good.
        verdict: the same in one word.
        next: what to do, most important first.
    """

    meaning: Sequence[str]
    quality: Sequence[str]
    verdict: Verdict
    next: Sequence[str]


def in_short(summary: Mapping[str, Any], answers: Mapping[str, Answer]) -> InShort:
    """The page in short.

    Args:
        summary: the numbers of the run; parts may be missing.
        answers: what `named_answers` made of them.
    """
    lag_time = _slow_lag(summary)
    verdict, sentence = _overall(answers, is_slow=lag_time is not None)
    diagnosis = part(summary, "diagnosis").get("sentence")
    quality = [sentence]
    if isinstance(diagnosis, str):
        # What follows the numbers is the remedy, which stands under what to do next.
        numbers, mark, _ = diagnosis.partition(" nats. ")
        quality.append(numbers + mark.rstrip())
    if lag_time is not None:
        quality.append(
            f"It was trained to be slow over {lag_time} frames, at the cost of likelihood and reconstruction: "
            "`polyvae kinetics` says whether it is."
        )
    quality += _scored(part(summary, "score"))
    return InShort(
        meaning=_meaning(part(summary, "meaning"), answers["continuity"], is_slow=lag_time is not None),
        quality=quality,
        verdict=verdict,
        next=_next(summary, answers)[:_MOST_STEPS],
    )


def _slow_lag(summary: Mapping[str, Any]) -> int | None:
    """The lag time that the coordinate was trained to be slow over, in frames; None for a plain VAE."""
    training = part(summary, "training")
    weight, lag_time = number(training, "vamp_weight"), number(training, "lag_time")
    return int(lag_time) if weight and lag_time else None


def _meaning(section: Mapping[str, Any], continuity: Answer, *, is_slow: bool) -> list[str]:
    found = [
        (
            number(each, "correlation") or 0.0,
            f"z{int(each.get('coordinate', 0)) + 1}",
            str(each["observable"]),
        )
        for each in section.get("coordinates") or ()
        if each.get("observable")
    ]
    sentences = [
        f"{name} {'follows' if abs(value) >= _FOLLOWS else 'leans on'} {observable} (correlation "
        f"{text(value, digits=2)})."
        for value, name, observable in found
        if abs(value) >= _LEANS
    ]
    others = [each for each in found if abs(each[0]) < _LEANS]
    if others:
        value, name, observable = max(others, key=lambda each: abs(each[0]))
        which = " and ".join(each[1] for each in others)
        sentences.append(
            f"{which} rise{'s' if len(others) == 1 else ''} and fall{'s' if len(others) == 1 else ''} with no simple "
            f"observable; the nearest is {observable}, with a correlation of {text(value, digits=2)}"
            f"{'' if len(others) == 1 else f' to {name}'}."
        )
    together = [each for each in section.get("together") or () if number(each, "share") is not None]
    if together:
        shares = " and ".join(
            f"{100 * float(each['share']):.0f} % of {each['observable']}" for each in together
        )
        sentences.append(f"All coordinates together explain {shares} (share of the variance).")
    if continuity.verdict != "unknown" and not is_slow:
        sentences.append(f"{continuity.answer.removeprefix('Yes. ').removeprefix('No. ')}")
    return sentences or ["Not measured in this run."]


def _overall(answers: Mapping[str, Answer], *, is_slow: bool) -> tuple[Verdict, str]:
    # A slow coordinate of few dimensions need not rebuild frames as well as PCA does.
    judged = ("information",) if is_slow else ("information", "reconstruction")
    coordinate = [answers[name].verdict for name in judged]
    ensemble = answers["distances"].verdict
    if all(verdict == "unknown" for verdict in (*coordinate, ensemble)):
        return "unknown", "This run did not measure it."
    if "poor" in coordinate:
        return "poor", "Not yet: do not read anything into the coordinate before the remedy below."
    as_coordinate = "Yes, as a coordinate" if "fair" not in coordinate else "Passably, as a coordinate"
    as_generator = {
        "good": "and its new conformations cannot be told from data by their distances.",
        "fair": "and its new conformations come near the data.",
        "poor": "but its new conformations are not yet those of the data: use them to look at, not to count.",
        "unknown": "its new conformations were not compared with data.",
    }[ensemble]
    verdict: Verdict = "good" if "fair" not in coordinate and ensemble == "good" else "fair"
    return verdict, f"{as_coordinate}, {as_generator}"


def _scored(score: Mapping[str, Any]) -> list[str]:
    rows = [row for row in score.get("rows") or () if isinstance(row, Mapping)]
    if not rows:
        return []
    tally = {
        name: sum(row.get("verdict") == name for row in rows)
        for name in ("as good as data", "close", "wrong")
    }
    words = ", ".join(f"{number_of} {name}" for name, number_of in tally.items() if number_of)
    distances = next((row for row in rows if row.get("name") == "pair_distance_w1_mean"), None)
    sentence = f"Ensemble score against held-out frames, {len(rows)} numbers: {words}."
    if distances is not None:
        unit = str(distances.get("unit") or "")
        sentence += (
            f" Pair distances are off by {text(number(distances, 'value'), unit)} on average, beside a noise floor of "
            f"{text(number(distances, 'floor'), unit)} for so few frames."
        )
    return [sentence]


def _next(summary: Mapping[str, Any], answers: Mapping[str, Answer]) -> list[str]:
    steps = []
    lag_time = _slow_lag(summary)
    if lag_time is not None:
        steps.append(
            f"Judge the coordinate: `polyvae kinetics` on this folder and its trajectory with `--lag-time {lag_time}` "
            "gives its VAMP scores beside PCA, TICA and a noise floor, its timescales, and what it listens to."
        )
    training, diagnosis = part(summary, "training"), part(summary, "diagnosis")
    status = training.get("status")
    if status == "interrupted":
        steps.append("Go on with the interrupted training: the same command with `--resume`.")
    elif status == "diverged":
        steps.append("Lower `--learning-rate` by a factor of ten and train again.")
    remedy = diagnosis.get("remedy")
    if answers["information"].verdict in ("poor", "fair") and isinstance(remedy, str) and remedy:
        steps.append(f"{remedy[:1].upper()}{remedy[1:]}".rstrip(".") + ".")
    if training.get("still_rising") is True:
        epochs = number(training, "epochs")
        longer = "" if epochs is None else f", such as `--epochs {count(2 * epochs)}`".replace("\u202f", "")
        steps.append(f"Train longer: the validation bound still rose at the end{longer}.")
    rebuilt = part(summary, "reconstruction")
    rmsd, train = number(rebuilt, "rmsd"), number(rebuilt, "train_rmsd")
    if rmsd is not None and train and rmsd > 1.3 * train:
        steps.append("The model overfits: give it more frames, or smaller layers (`--hidden`).")
    elif answers["reconstruction"].verdict in ("fair", "poor") and lag_time is None:
        steps.append("No better than PCA: train longer, or give it more latent dimensions (`--latent-dim`).")
    if answers["distances"].verdict in ("fair", "poor"):
        steps.append(
            "For better new conformations, raise `--latent-dim`, or try `--representation internal` where bonds are "
            "known."
        )
    # A slow coordinate jumps where the molecule changes its state.
    if answers["continuity"].verdict == "fair" and lag_time is None:
        steps.append(
            "The coordinate jumps, which means something where frames lie close in time: look at those around the "
            "largest steps in the figure of time below."
        )
    if answers["information"].verdict == "good":
        steps.append(
            "Use it: `polyvae fes` for free energies with errors, `polyvae generate` for new conformations, "
            "`polyvae export` to bias a simulation along the coordinate."
        )
    return steps or ["Run `polyvae run` on the data: this folder holds too little to say."]
