"""Progress on stderr: a bar with loss and time left on a terminal, a few plain lines anywhere else."""

import sys
from types import TracebackType

from tqdm import tqdm

from polyvae.cli.wording import printable
from polyvae.training import EpochReport

_LINES = 20


def say(text: str, *, quiet: bool) -> None:
    """One line about what is being done."""
    if not quiet:
        print(printable(text), file=sys.stderr, flush=True)


class TrainingProgress:
    """Shows every epoch; give it to `polyvae.fit` as `on_epoch`.

    The loss is minus the bound, in nats per frame of scaled features; it may be negative.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: tqdm | None = None

    def __enter__(self) -> "TrainingProgress":
        return self

    def __call__(self, report: EpochReport) -> None:
        """Show one finished epoch."""
        if self._quiet:
            return
        # No epoch of the warm-up of beta counts as the best: their bounds are of other objectives.
        best = f"best epoch {report.best_epoch}" if report.best_epoch else "warm-up"
        losses = f"loss {-report.train_bound:.3f}  validation {-report.validation_bound:.3f}  {best}"
        if not sys.stderr.isatty():
            if (
                report.epoch == 1
                or report.epoch == report.epochs
                or report.epoch % max(1, report.epochs // _LINES) == 0
            ):
                left = f"  {_duration(report.seconds_left)} left" if report.epoch > 1 else ""
                say(
                    f"epoch {report.epoch}/{report.epochs}  {losses}{left}",
                    quiet=False,
                )
            return
        if self._bar is None:
            self._bar = tqdm(
                total=report.epochs, desc="training", unit="epoch", file=sys.stderr, dynamic_ncols=True
            )
        self._bar.set_postfix_str(losses, refresh=False)
        self._bar.update(report.epoch - self._bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
