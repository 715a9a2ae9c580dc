"""The verdict of a score: one rule for every number, from its excess over the data, its limit and its error.

The *excess* is how far a number is on the bad side: the number itself for distances between distributions, the
difference from the data for rates, the share that is missed for coverage and precision. The *limit* is the excess
that data against data shows.
"""

AS_GOOD = "as good as data"
CLOSE = "close"
WRONG = "wrong"
VERDICTS = (AS_GOOD, CLOSE, WRONG)
"""From best to worst."""


def judge(excess: float, *, limit: float, error: float, close: float = 0.0) -> str:
    """The verdict on one number.

    "as good as data" if the excess is at most the limit plus two errors, or 1.5 times the limit; "close" up to the
    limit plus four errors, or three times the limit; else "wrong".

    Args:
        excess: how far the number is on the bad side; 0 or less is never bad.
        limit: the excess of data against data.
        error: standard error of the excess.
        close: an excess that is close in any case.
    """
    if excess <= max(limit + 2.0 * error, 1.5 * limit):
        return AS_GOOD
    return CLOSE if excess <= max(limit + 4.0 * error, 3.0 * limit, close) else WRONG


def worst_of(verdicts: list[str]) -> str:
    """The worst of some verdicts."""
    return max(verdicts, key=VERDICTS.index)
