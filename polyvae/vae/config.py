"""Settings of the model: what the network looks like and how frames become vectors."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyvae.errors import InputError

INTERNAL_LIKELIHOODS = ("factorized", "autoregressive")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Settings of a conformation model; every field is a command-line flag and a TOML key of the same name.

    Attributes:
        latent_dim: number of latent dimensions.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors them.
        activation: non-linearity between layers.
        network: "mlp" stacks layers; "residual" lets each hidden layer add to the signal, for deep networks.
        layer_norm: bring the signal to zero mean and unit variance before each activation.
        posterior: covariance of q(z|x): "diagonal" or "full".
        prior: distribution of the latent: "auto" (normal for Cartesian models, a mixture for internal
            coordinates), "normal" (standard normal), "anisotropic" (a fixed width for each dimension),
            "sparse" (each dimension mostly near zero), "mixture" (of normals, learned), "vamp" (of the posteriors of
            learned pseudo-inputs) or "flow" (a normalizing flow; needs the extra `flows`).
        prior_components: components of a mixture or vamp prior, spline knots of a flow.
        prior_scales: widths of an anisotropic prior, one a latent dimension; none given, they fall by a factor of
            1.5 from one dimension to the next.
        prior_training: "joint" trains a learned prior along with the networks, "after" fits it to the latent of the
            training frames once the networks are trained with a standard normal; "auto" is "after" for internal
            coordinates, else "joint".
        beta: weight of the KL divergence in the training objective; 1 is the evidence lower bound (ELBO).
        representation: how a frame becomes a vector: "cartesian" positions, or "internal" coordinates (bond lengths,
            angles, torsions), whose bonds stay whole and whose chirality is kept; needs bonds.
        alignment: how rotation and translation are removed: "procrustes" superposes every frame on the generalized
            Procrustes mean, "kabsch" on the first training frame, "principal_axes" turns each frame on its own axes
            (not continuous in time), "center" removes translation only, "none" nothing.
        mass_weighted: weight the center and the superposition by atomic masses.
        scaling: "isotropic" divides all features by one number, "per-feature" gives each unit variance, "none"
            keeps the unit of length.
        likelihood: distribution of the features around the decoder's mean: "auto" ("normal" for Cartesian
            positions, "autoregressive" for internal coordinates), "normal", "correlated" (normal with a
            covariance matrix trained along with the networks), "student-t" (heavy tails), or "rotation" (normal,
            averaged over all rotations of the mean; the encoder sees what no rotation changes, so frames are only
            centered). For internal coordinates: "factorized" (normal lengths and angles, von Mises torsions, one
            width each), or "autoregressive" (atom after atom, each a mixture given the atoms before it).
        decoder_scale: width of the decoder: "learned" (one for all features, sigma-VAE), "analytic" (the same, set to
            the root mean square of the residuals after every step), "per-feature", "per-frame" (the decoder's
            answer), or "fixed" at `sigma`.
        sigma: width of the decoder in scaled units; the start value when it is learned.
        residual: noise of the trained decoder: "covariance" replaces the shared width of a normal likelihood by the
            covariance matrix of the training residuals (through `residual_rank` directions above 2048 features),
            shrunk towards the shared width on the validation frames, so that generated bonds scatter much less;
            "isotropic" keeps the shared width.
        residual_rank: directions of correlated noise where a full matrix would be too large.
        cartesian_weight: weight of the Cartesian term that training adds for internal coordinates, in nats per frame
            (see `polyvae.vae.likelihoods.WithCartesianTerm`): the larger, the more the latent says of the shape. 0
            leaves it out.
        placement_components: components of the mixture that places an atom.
        placement_hidden: widths of the hidden layers of the network that each atom is placed by.
    """

    latent_dim: int = 2
    hidden: tuple[int, ...] = (256, 256, 256)
    activation: Literal["gelu", "relu", "silu", "tanh", "elu"] = "gelu"
    network: Literal["mlp", "residual"] = "mlp"
    layer_norm: bool = False
    posterior: Literal["diagonal", "full"] = "diagonal"
    prior: Literal["auto", "normal", "anisotropic", "sparse", "mixture", "vamp", "flow"] = "auto"
    prior_components: int = 32
    prior_scales: tuple[float, ...] = ()
    prior_training: Literal["auto", "joint", "after"] = "auto"
    beta: float = 1.0
    representation: Literal["cartesian", "internal"] = "cartesian"
    alignment: Literal["procrustes", "kabsch", "principal_axes", "center", "none"] = "procrustes"
    mass_weighted: bool = False
    scaling: Literal["isotropic", "per-feature", "none"] = "isotropic"
    likelihood: Literal[
        "auto", "normal", "correlated", "student-t", "rotation", "factorized", "autoregressive"
    ] = "auto"
    decoder_scale: Literal["learned", "analytic", "per-feature", "per-frame", "fixed"] = "learned"
    sigma: float = 1.0
    residual: Literal["covariance", "isotropic"] = "covariance"
    residual_rank: int = 32
    cartesian_weight: float = 2.0
    placement_components: int = 6
    placement_hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        # Settings are compared and hashed at compile time; a list could not be.
        hidden = (self.hidden,) if isinstance(self.hidden, int) else tuple(self.hidden)
        object.__setattr__(self, "hidden", hidden)
        object.__setattr__(self, "prior_scales", tuple(float(scale) for scale in self.prior_scales))
        if self.latent_dim < 1:
            raise InputError(f"`latent_dim` must be at least 1; got {self.latent_dim}.")
        if not self.hidden or min(self.hidden) < 1:
            raise InputError(
                f"`hidden` must list at least one positive width, such as (256, 256); got {self.hidden}."
            )
        if not self.beta >= 0:
            raise InputError(f"`beta` must not be negative; got {self.beta}.")
        if not 0 <= self.cartesian_weight < np.inf:
            raise InputError(
                f"`cartesian_weight` must be finite and not negative; got {self.cartesian_weight}."
            )
        object.__setattr__(self, "placement_hidden", tuple(self.placement_hidden))
        if not self.placement_hidden or min(self.placement_hidden) < 1:
            raise InputError(
                f"`placement_hidden` must list at least one positive width; got {self.placement_hidden}."
            )
        if not self.sigma > 0:
            raise InputError(f"`sigma` must be positive; got {self.sigma}.")
        for name in ("prior_components", "residual_rank", "placement_components"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` must be at least 1; got {getattr(self, name)}.")
        if self.prior_scales and (
            len(self.prior_scales) != self.latent_dim or not min(self.prior_scales) > 0
        ):
            raise InputError(
                f"`prior_scales` must hold one positive width for each of the {self.latent_dim} latent dimensions; "
                f"got {self.prior_scales}."
            )
        check_choices(self, ModelConfig)
        self._check_representation()
        if self.decoder_scale != "learned" and self.likelihood == "correlated":
            raise InputError(
                "`likelihood='correlated'` learns its widths; leave `decoder_scale` at 'learned'."
            )
        if self.decoder_scale in ("analytic", "per-feature", "per-frame") and self._likelihood != "normal":
            raise InputError(
                f"`decoder_scale={self.decoder_scale!r}` belongs to `likelihood='normal'`; got {self._likelihood!r}."
            )
        if self.prior_training == "after" and self.prior in ("anisotropic", "sparse"):
            raise InputError(f"`prior={self.prior!r}` has nothing to fit; leave `prior_training` at 'joint'.")
        if self.likelihood == "rotation":
            if self.alignment not in ("procrustes", "center"):
                raise InputError(
                    f"`likelihood='rotation'` averages over rotations, so frames are only centered; got "
                    f"`alignment={self.alignment!r}`."
                )
            # The default alignment has no part in it.
            object.__setattr__(self, "alignment", "center")
        if self.likelihood == "rotation" and self.scaling == "per-feature":
            raise InputError(
                "`likelihood='rotation'` needs a scaling that keeps the shape of space: 'isotropic'."
            )

    @property
    def _likelihood(self) -> str:
        default = "autoregressive" if self.representation == "internal" else "normal"
        return default if self.likelihood == "auto" else self.likelihood

    def _check_representation(self) -> None:
        """Refuse what internal coordinates have no use for, and what only they have a use for."""
        internal = self.representation == "internal"
        if internal != (self._likelihood in INTERNAL_LIKELIHOODS):
            kinds = ", ".join(map(repr, INTERNAL_LIKELIHOODS))
            raise InputError(
                f"`likelihood={self.likelihood!r}` does not fit `representation={self.representation!r}`: {kinds} "
                "belong to 'internal', all others to 'cartesian'. Leave `likelihood` at 'auto'."
            )
        if internal and self.alignment not in ("procrustes", "kabsch"):
            raise InputError(
                "`representation='internal'` superposes what it builds on a reference: `alignment` must be "
                f"'procrustes' or 'kabsch'; got {self.alignment!r}."
            )
        if internal and self.decoder_scale != "learned":
            raise InputError(
                f"`representation='internal'` learns its widths; got `decoder_scale={self.decoder_scale!r}`."
            )

    def resolved(self) -> "ModelConfig":
        """These settings with a name in place of every "auto"."""
        internal = self.representation == "internal"
        prior = ("mixture" if internal else "normal") if self.prior == "auto" else self.prior
        training = "after" if internal and prior in ("mixture", "vamp", "flow") else "joint"
        return dataclasses.replace(
            self,
            likelihood=self._likelihood,
            prior=prior,
            prior_training=training if self.prior_training == "auto" else self.prior_training,
        )

    def prior_widths(self) -> tuple[float, ...]:
        """Widths of an anisotropic prior, one a latent dimension."""
        return self.prior_scales or tuple(1.5**-index for index in range(self.latent_dim))


def check_choices(config: object, kind: type) -> None:
    """Raise an `InputError` where a `Literal` field of a settings record holds none of its choices."""
    for name, annotation in kind.__annotations__.items():
        choices = getattr(annotation, "__args__", ())
        value = getattr(config, name)
        if choices and getattr(annotation, "__origin__", None) is Literal and value not in choices:
            raise InputError(f"`{name}` must be one of {', '.join(map(repr, choices))}; got {value!r}.")
