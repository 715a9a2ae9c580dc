"""What to do about a latent that does not work, in the settings of whoever trained it.

A conformation model is set up by `ModelConfig`, a VAE of vectors by its likelihood and the arguments of `fit_vae`. No
remedy names what is set already.
"""

from dataclasses import dataclass

from polyvae.training.course import LARGE_LEARNING_RATE, Course
from polyvae.vae import VAE, NormalMixture, VampPrior
from polyvae.vae.likelihoods import (
    Blocks,
    Categorical,
    CorrelatedNormal,
    Likelihood,
    LowRankNormal,
    Normal,
    PerFrameNormal,
    StudentT,
    VonMises,
)


@dataclass(frozen=True, kw_only=True)
class Remedies:
    """Remedies for one trained VAE.

    Attributes:
        likelihood: the one that the networks were trained with.
        course: how training went, or None where that is not known.
        vectors: whether it is a VAE of vectors, not a conformation model.
        beta: weight of the KL divergence that it was trained with.
    """

    likelihood: Likelihood
    course: Course | None
    vectors: bool
    beta: float

    @property
    def width_is_learned(self) -> bool:
        """Whether no width of the likelihood stays as it was set."""
        return all(getattr(part, "learn", True) for part in parts_of(self.likelihood))

    def longer_training(self) -> str:
        """More steps: of epochs, or of patience where that ended training."""
        if self.course is None:
            return "more `epochs`"
        if self.course.stopped_early and self.course.config.patience is not None:
            return f"a longer `patience` (now {self.course.config.patience})"
        return f"more `epochs` (now {self.course.config.epochs})"

    def larger_steps(self) -> str:
        """A larger learning rate where there is room, with the words that join it to a list."""
        if self.course is None or self.course.config.learning_rate >= LARGE_LEARNING_RATE:
            return ""
        return f" or a larger `learning_rate` (now {self.course.config.learning_rate:g})"

    def smaller_steps(self) -> str:
        """What a learning rate that is too large calls for."""
        assert self.course is not None
        fall = self.course.largest_fall
        seen = f", and the validation bound fell by {fall:.3g} nats in one epoch" if fall > 1.0 else ""
        rate = self.course.config.learning_rate
        smaller = min(rate / 10, LARGE_LEARNING_RATE)
        return (
            f"steps of `learning_rate={rate:g}` are large{seen}: training may have lost what it had found. Lower "
            f"`learning_rate` to {smaller:.1g} or less before anything else."
        )

    def more_rate(self) -> str:
        """Ways to make another dimension speak."""
        config = None if self.course is None else self.course.config
        if config is not None and config.rate_target is not None:
            return f"Raise `rate_target` (now {config.rate_target:g}), or train another `seed`."
        if config is not None and config.free_bits > 0:
            first = f"Raise `free_bits` (now {config.free_bits:g})"
        elif config is not None and config.objective == "iwae":
            first = "Set `rate_target`"
        else:
            first = "Set `rate_target` or `free_bits`"
        warmup = "" if config is None else f" (now {config.kl_warmup})"
        return f"{first}, or train longer, {self.longer_training()} with a longer `kl_warmup`{warmup}."

    def less_bought(self) -> str:
        """What to do where the decoder does not listen."""
        config = None if self.course is None else self.course.config
        words = f"the KL divergence buys nothing. Train longer, with {self.longer_training()}{self.larger_steps()}"
        if config is not None and config.free_bits > 0:
            words += f", lower `free_bits` (now {config.free_bits:g})"
        if config is not None and config.rate_target is not None:
            words += f", lower `rate_target` (now {config.rate_target:g})"
        return f"{words}, and check that the decoder's outputs depend on z where the network is your own."

    def smaller_beta(self) -> str:
        """Where `beta` is set."""
        if self.course is not None and self.course.config.rate_target is not None:
            return "raise `rate_target`"
        return "lower `beta` of `fit_vae`" if self.vectors else "lower `beta`"

    def beta_below(self, signal: float) -> str:
        """A weight of the KL divergence under which a signal pays."""
        ways = self.smaller_beta()
        steered = self.course is not None and self.course.config.rate_target is not None
        return f"{ways[0].upper()}{ways[1:]}{'' if steered else f' below {signal:.3g}'}."

    def narrower_noise(self, below: float | None) -> str:
        """A smaller fixed width, or one that is learned.

        Args:
            below: the width that would still be too wide, if known.
        """
        fixed = [part for part in parts_of(self.likelihood) if not getattr(part, "learn", True)]
        limit = "" if below is None else f" below {below:.3g}"
        if not self.vectors:
            return f"Lower `sigma`{limit}, or learn it with `decoder_scale='learned'`."
        names = sorted({type(part).__name__ for part in fixed})
        setting = "raise `kappa`" if names == ["VonMises"] else f"Lower `sigma`{limit}"
        setting = setting[0].upper() + setting[1:]
        return f"{setting} of {' and '.join(f'`{name}`' for name in names)}, or learn it with `learn=True`."

    def finer_detail(self) -> str:
        """What lets more through than the living dimensions carry."""
        has_sigma = any(isinstance(part, Normal | StudentT) for part in parts_of(self.likelihood))
        if has_sigma and not self.width_is_learned:
            return f"lower `sigma` or {self.smaller_beta()}"
        return self.smaller_beta()

    def information_anyway(self) -> str:
        """What to do where the likelihood needs no latent."""
        family = parts_of(self.likelihood)
        narrower = ""
        if any(
            isinstance(part, CorrelatedNormal | LowRankNormal | PerFrameNormal | StudentT) for part in family
        ):
            one_width = (
                "`Normal.of(...)`" if self.vectors else "`likelihood='normal', decoder_scale='learned'`"
            )
            narrower = f", or narrow the decoder to one width, {one_width}"
        elif any(isinstance(part, Normal) for part in family):
            smaller = (
                "`Normal.of(..., sigma=..., learn=False)`" if self.vectors else "`decoder_scale='fixed'`"
            )
            narrower = f", or narrow the decoder: a smaller fixed `sigma`, {smaller}"
        nothing = "If the entries of a frame do not depend on each other, there is nothing for z to carry."
        if isinstance(self.likelihood, Categorical):
            nothing = "A single choice among classes needs no latent: its probabilities say all."
        config = None if self.course is None else self.course.config
        if config is not None and config.rate_target is not None:
            return nothing
        return f"Set `rate_target` to the nats that z shall carry{narrower}. {nothing}"

    def fitting_prior(self, vae: VAE) -> str:
        """A prior that fits the aggregate posterior."""
        count = None
        if isinstance(vae.prior, NormalMixture | VampPrior):
            count = vae.prior.logits.shape[0]
        if count is not None:
            more = f"give it more `prior_components` (now {count})"
            return f"{more} in `fit_prior`" if self.vectors else more
        if self.vectors:
            return (
                "fit one to it with `polyvae.training.fit_prior(vae, vectors, ModelConfig(prior='mixture'))`"
            )
        return "set `prior='mixture', prior_training='after'`"

    def met_rate(self) -> str:
        """What brings a rate that misses its target nearer."""
        course = self.course
        assert course is not None
        assert course.config.rate_target is not None
        first, last = course.beta[0], course.beta[-1]
        missing = course.rate < course.config.rate_target
        ways = [self.longer_training()]
        if missing == (last < first) and abs(last / first - 1.0) > 0.1:
            # The controller was on its way: what it has reached is a better place to begin.
            argument = "`beta` of `fit_vae`" if self.vectors else "`beta`"
            start = min(last, 1.0) if missing else last
            ways.append(f"{argument} = {start:.2g} to begin with (it moved from {first:.2g} to {last:.2g})")
        # While the weight is above 1 it is what holds the rate down, not the network.
        if missing and last <= 1.0:
            if course.config.learning_rate < LARGE_LEARNING_RATE:
                ways.append(f"a larger `learning_rate` (now {course.config.learning_rate:g})")
            ways += ["a wider network (`hidden`)", "more `latent_dim`"]
        return f"Give it {', '.join(ways[:-1])} or {ways[-1]}." if len(ways) > 1 else f"Give it {ways[0]}."

    def convergence(self) -> str:
        """What an unfinished training needs."""
        words = f"Train with {self.longer_training()}{self.larger_steps()}"
        if not self.vectors:
            return f"{words}."
        real = any(not isinstance(part, Categorical | VonMises) for part in parts_of(self.likelihood))
        return f"{words}, and standardize the columns." if real else f"{words}."


def parts_of(likelihood: Likelihood) -> tuple[Likelihood, ...]:
    """The families of a vector's parts, one after the other."""
    if isinstance(likelihood, Blocks):
        return tuple(part for block in likelihood.parts for part in parts_of(block))
    return (likelihood,)
