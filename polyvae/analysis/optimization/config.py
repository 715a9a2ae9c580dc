"""Settings of the descent in latent space."""

from dataclasses import dataclass
from typing import Literal

from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig:
    """Settings of the descent.

    Attributes:
        steps: gradient steps.
        learning_rate: of Adam, in latent units; it decays to a twentieth.
        trust: where the latent must stay: "prior", the ball that holds `prior_mass` of the prior; "aggregate", where
            the density of the data's aggregate posterior is above that of all but 1 % of the data (needs the
            trajectory).
        prior_mass: share of the prior inside the ball that the latent must stay in.
        reach: radius of the region against that of this ball. Beyond 1 the decoder goes on as far from the data as its
            geometry stays whole, which is still checked. None takes 4 for models of internal coordinates, whose
            lengths and angles stay within the data's wherever the latent is, and 1 for others.
        penalty: weight of the geometry penalty at the end, against an observable counted in units of its range in
            the data (the radius of gyration of `minimize_radius_of_gyration` in units of the smallest one there).
            It grows from a share of that, and has its full weight for the last three tenths of the steps. The share
            goes from a hundred-thousandth for the first start, where chains pass through themselves and fold
            furthest, to a tenth for the last.
        margin: distance kept from the bounds during the descent, as a fraction of each bound's width.
        tolerance: with a target, how far from it a value may lie to count as reached, as a fraction of the
            observable's range in the data.
    """

    steps: int = 1500
    learning_rate: float = 0.1
    trust: Literal["prior", "aggregate"] = "prior"
    prior_mass: float = 0.99
    reach: float | None = None
    penalty: float = 20.0
    margin: float = 0.06
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"`steps` must be at least 1; got {self.steps}.")
        if self.trust not in ("prior", "aggregate"):
            raise InputError(f"`trust` must be 'prior' or 'aggregate'; got {self.trust!r}.")
        if not 0 < self.prior_mass < 1:
            raise InputError(f"`prior_mass` must lie between 0 and 1; got {self.prior_mass}.")
        for name in ("learning_rate", "reach", "penalty", "tolerance"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"`{name}` must be positive; got {value}.")
        if not 0 <= self.margin < 0.5:
            raise InputError(f"`margin` must lie between 0 and 0.5; got {self.margin}.")
