"""Settings of the model: what the network looks like and how frames become vectors."""

from dataclasses import dataclass
from typing import Literal

from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Settings of a conformation model; every field is a command-line flag and a TOML key of the same name.

    Attributes:
        latent_dim: number of latent dimensions.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors them.
        activation: non-linearity between layers.
        beta: weight of the KL divergence in the training objective; 1 is the evidence lower bound (ELBO).
        representation: how a canonical frame becomes a vector.
        alignment: how rotation and translation are removed: "procrustes" superposes every frame on the generalized
            Procrustes mean, "kabsch" on the first training frame, "principal_axes" turns each frame on its own axes
            (not continuous in time), "center" removes translation only, "none" nothing.
        mass_weighted: weight the center and the superposition by atomic masses.
        scaling: "isotropic" divides all features by one number, "per-feature" gives each unit variance, "none"
            keeps the unit of length.
        decoder_scale: "learned" (one width for all features, sigma-VAE), or "fixed" at `sigma`.
        sigma: width of the decoder's normal distribution in scaled units; the start value when it is learned.
        residual: noise of the trained decoder: "covariance" replaces the shared width by the full covariance matrix
            of the training residuals, shrunk towards the shared width on the validation frames, so that generated
            bonds scatter much less; "isotropic" keeps the shared width.
    """

    latent_dim: int = 2
    hidden: tuple[int, ...] = (256, 256, 256)
    activation: Literal["gelu", "relu", "silu", "tanh", "elu"] = "gelu"
    beta: float = 1.0
    representation: Literal["cartesian"] = "cartesian"
    alignment: Literal["procrustes", "kabsch", "principal_axes", "center", "none"] = "procrustes"
    mass_weighted: bool = False
    scaling: Literal["isotropic", "per-feature", "none"] = "isotropic"
    decoder_scale: Literal["learned", "fixed"] = "learned"
    sigma: float = 1.0
    residual: Literal["covariance", "isotropic"] = "covariance"

    def __post_init__(self) -> None:
        # Settings are compared and hashed at compile time; a list could not be.
        hidden = (self.hidden,) if isinstance(self.hidden, int) else tuple(self.hidden)
        object.__setattr__(self, "hidden", hidden)
        if self.latent_dim < 1:
            raise InputError(f"`latent_dim` must be at least 1; got {self.latent_dim}.")
        if not self.hidden or min(self.hidden) < 1:
            raise InputError(
                f"`hidden` must list at least one positive width, such as (256, 256); got {self.hidden}."
            )
        if not self.beta >= 0:
            raise InputError(f"`beta` must not be negative; got {self.beta}.")
        if not self.sigma > 0:
            raise InputError(f"`sigma` must be positive; got {self.sigma}.")
        check_choices(self, ModelConfig)


def check_choices(config: object, kind: type) -> None:
    """Raise an `InputError` where a `Literal` field of a settings record holds none of its choices."""
    for name, annotation in kind.__annotations__.items():
        choices = getattr(annotation, "__args__", ())
        value = getattr(config, name)
        if choices and getattr(annotation, "__origin__", None) is Literal and value not in choices:
            raise InputError(f"`{name}` must be one of {', '.join(map(repr, choices))}; got {value!r}.")
