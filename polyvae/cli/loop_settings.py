"""Settings of `polyvae loop` that are no model's and no training's."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How much is simulated, and how it is biased.

    Attributes:
        first_ns: length of the unbiased simulation that the first coordinate is learned from, ns.
        round_ns: length of the biased simulation of each round, ns.
        first_temperature: of the unbiased simulation, K, such as 500 where it would stay in one basin; None for that
            of the others. Its frames then train coordinates only.
        bias: "opes" or "metadynamics", on all latent dimensions.
        barrier: highest barrier to cross, kJ/mol; the bias factor is this by kT.
        pace: steps between changes of the bias.
        record: steps between frames.
        save: steps between saves, from which a killed simulation goes on.
        learn_from: "weighted" learns from frames with the weights that take the bias away; "sampled" from frames as the
            bias left them, so that those between basins, which have next to no weight, count as well.
        settle: first share of each simulation that is left out.
        points: of the grid of the bias along each latent dimension.
    """

    first_ns: float = 5.0
    round_ns: float = 5.0
    first_temperature: float | None = None
    bias: Literal["opes", "metadynamics"] = "opes"
    barrier: float = 40.0
    pace: int = 500
    record: int = 250
    save: int = 50_000
    learn_from: Literal["weighted", "sampled"] = "weighted"
    settle: float = 0.1
    points: int = 81

    def __post_init__(self) -> None:
        for name in ("first_ns", "round_ns", "barrier", "first_temperature"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"`{name}` must be a positive number; got {value}.")
        if not 0 <= self.settle < 0.9:
            raise InputError(f"`settle` must be from 0 to 0.9; got {self.settle}.")
        if self.bias not in ("opes", "metadynamics"):
            raise InputError(f"`bias` must be 'opes' or 'metadynamics'; got {self.bias!r}.")
        if self.learn_from not in ("weighted", "sampled"):
            raise InputError(f"`learn_from` must be 'weighted' or 'sampled'; got {self.learn_from!r}.")

    def steps(self, nanoseconds: float, time_step: float) -> int:
        """Steps of a simulation: whole saves, one at least.

        Args:
            nanoseconds: wanted length.
            time_step: ps.
        """
        return max(1, round(nanoseconds * 1000 / time_step / self.save)) * self.save


@dataclass(frozen=True, kw_only=True)
class StatesConfig:
    """The two states whose free-energy difference says when to stop, and how well it must be known.

    Attributes:
        along: observable that tells them apart, such as torsion:1-3-4-6; atoms count from 0 among those chosen by
            `atoms`. None takes the two most populated basins along the newest coordinate, and φ for the bundled
            molecule.
        first: lowest and highest value in the first state; a range of an angle that falls goes across ±π. None is
            whatever is not in the second.
        second: the same for the second state.
        tolerance: largest standard error of the difference, kJ/mol.
        round_trips: fewest passages from one to the other and back, in each round.
    """

    along: str | None = None
    first: tuple[float, float] | None = None
    second: tuple[float, float] | None = None
    tolerance: float = 1.0
    round_trips: int = 5

    def __post_init__(self) -> None:
        if self.along is not None and self.second is None:
            raise InputError(f"`along` {self.along} needs `second`, the range of the second state.")
        if self.along is None and (self.first is not None or self.second is not None):
            raise InputError("`first` and `second` are ranges of an observable: name it with `along`.")
        if not self.tolerance > 0:
            raise InputError(f"`tolerance` must be positive; got {self.tolerance}.")
        if self.round_trips < 1:
            raise InputError(f"`round_trips` must be at least 1; got {self.round_trips}.")
