"""Rows of a score from what was compared: mean and largest of a group, a rate, a share, each with its verdict."""

from collections.abc import Sequence

import numpy as np

from polyvae.analysis.scoring.bootstrap import Sample
from polyvae.analysis.scoring.coverage import Novelty, Share
from polyvae.analysis.scoring.distributions import Comparison
from polyvae.analysis.scoring.rates import Events
from polyvae.analysis.scoring.record import ScoreRow
from polyvae.analysis.scoring.verdict import judge

_CLOSE_SHARE_OF_RATE = 0.5


def distance_rows(
    comparison: Comparison, names: Sequence[str], *, name: str, group: str, unit: str
) -> list[ScoreRow]:
    """Mean and largest over the quantities of a group; one row where there is but one.

    Args:
        comparison: the numbers.
        names: what the quantities are called.
        name: start of the rows' names.
        group: the group.
        unit: unit of the numbers.
    """
    worst = names[int(comparison.value.argmax())]
    kinds = (("_mean", np.mean, None), ("_max", np.max, worst))
    if len(comparison.value) == 1:
        kinds = (("", np.mean, None),)
    rows = []
    for suffix, over, which in kinds:
        value, floor = float(over(comparison.value)), float(over(comparison.floor))
        error = float(np.std(over(comparison.replicates, axis=0), ddof=1))
        noise = float(np.mean(over(comparison.noise, axis=0)))
        limit = max(floor, noise, comparison.resolution)
        rows.append(
            ScoreRow(
                name=name + suffix,
                group=group,
                value=value,
                error=error,
                floor=floor,
                noise=noise,
                unit=unit,
                verdict=judge(value, limit=limit, error=error),
                worst=which,
            )
        )
    return rows


def rate_row(
    events: Events,
    reference: Sample,
    ensemble: Sample,
    half: np.ndarray,
    *,
    name: str,
    group: str,
    unit: str,
    items: int,
    worst: str | None,
    fewer_is_fine: bool,
    floor: float | None = None,
) -> ScoreRow:
    """A rate beside that of the reference.

    The excess is the difference, the limit that of two halves of the reference. A rate within half of the reference's
    own is close in any case.

    Args:
        events: what was counted.
        reference: the data.
        ensemble: the other side.
        half: frames of the reference that form one half.
        name: the row's name.
        group: the group.
        unit: unit of the rate.
        items: what the events of a frame are divided by.
        worst: the worst item in words.
        fewer_is_fine: whether a rate below the reference's is no fault.
        floor: the noise floor, or None for the difference of the two halves.
    """
    data, made = events.data / items, events.made / items
    baseline, value = reference.mean(data, events.data_frames), ensemble.mean(made, events.made_frames)
    drawn = ensemble.resampled_mean(made, events.made_frames) - reference.resampled_mean(
        data, events.data_frames
    )
    error = float(np.std(drawn, ddof=1))
    if floor is None:
        first = half[events.data_frames]
        means = [reference.mean(data[part], events.data_frames[part]) for part in (first, ~first)]
        floor = abs(means[0] - means[1])
    difference = value - baseline
    excess = difference if fewer_is_fine else abs(difference)
    verdict = judge(excess, limit=floor, error=error, close=_CLOSE_SHARE_OF_RATE * baseline)
    return ScoreRow(
        name=name,
        group=group,
        value=value,
        error=error,
        floor=floor,
        baseline=baseline,
        unit=unit,
        verdict=verdict,
        worst=worst if difference else None,
    )


def share_row(share: Share, *, name: str) -> ScoreRow:
    """Coverage or precision; the excess is the share that is missed, the limit that of the halves."""
    return ScoreRow(
        name=name,
        group="coverage",
        value=share.value,
        error=share.error,
        floor=share.floor,
        unit="1",
        verdict=judge(1.0 - share.value, limit=1.0 - share.floor, error=share.error),
    )


def novelty_rows(found: Novelty) -> list[ScoreRow]:
    """The ratio of distances from training frames, and the share of copies; only nearness is a fault."""
    rows = []
    for name, share, floor, excess, close in (
        ("novelty_ratio", found.ratio, found.ratio_floor, 1.0 - found.ratio.value, 0.0),
        (
            "training_copies",
            found.copies,
            found.copies_floor,
            found.copies.value - found.copies.floor,
            _CLOSE_SHARE_OF_RATE * found.copies.floor,
        ),
    ):
        rows.append(
            ScoreRow(
                name=name,
                group="novelty",
                value=share.value,
                error=share.error,
                floor=floor,
                baseline=share.floor,
                unit="1",
                verdict=judge(excess, limit=floor, error=share.error, close=close),
            )
        )
    return rows
