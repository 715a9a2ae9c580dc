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
        network: "mlp" stacks layers; "residual" lets each hidden layer add to the signal, for deep networks.
        layer_norm: bring the signal to zero mean and unit variance before each activation.
        posterior: covariance of q(z|x): "diagonal" or "full".
        prior: distribution of the latent: "normal" (standard normal), "anisotropic" (a fixed width for each dimension),
            "sparse" (each dimension mostly near zero), "mixture" (of normals, learned), "vamp" (of the posteriors of
            learned pseudo-inputs) or "flow" (a normalizing flow; needs the extra `flows`).
        prior_components: components of a mixture or vamp prior, spline knots of a flow.
        prior_scales: widths of an anisotropic prior, one a latent dimension; none given, they fall by a factor of
            1.5 from one dimension to the next.
        prior_training: "joint" trains a learned prior along with the networks, "after" fits it to the latent of the
            training frames once the networks are trained with a standard normal.
        beta: weight of the KL divergence in the training objective; 1 is the evidence lower bound (ELBO).
        representation: how a canonical frame becomes a vector.
        alignment: how rotation and translation are removed: "procrustes" superposes every frame on the generalized
            Procrustes mean, "kabsch" on the first training frame, "principal_axes" turns each frame on its own axes
            (not continuous in time), "center" removes translation only, "none" nothing.
        mass_weighted: weight the center and the superposition by atomic masses.
        scaling: "isotropic" divides all features by one number, "per-feature" gives each unit variance, "none"
            keeps the unit of length.
        likelihood: distribution of the features around the decoder's mean: "normal", "correlated" (normal with a
            covariance matrix trained along with the networks), "student-t" (heavy tails), or "rotation" (normal,
            averaged over all rotations of the mean; the encoder sees what no rotation changes, so frames are only
            centered).
        decoder_scale: width of the decoder: "learned" (one for all features, sigma-VAE), "analytic" (the same, set to
            the root mean square of the residuals after every step), "per-feature", "per-frame" (the decoder's
            answer), or "fixed" at `sigma`.
        sigma: width of the decoder in scaled units; the start value when it is learned.
        residual: noise of the trained decoder: "covariance" replaces the shared width of a normal likelihood by the
            covariance matrix of the training residuals (through `residual_rank` directions above 2048 features),
            shrunk towards the shared width on the validation frames, so that generated bonds scatter much less;
            "isotropic" keeps the shared width.
        residual_rank: directions of correlated noise where a full matrix would be too large.
    """

    latent_dim: int = 2
    hidden: tuple[int, ...] = (256, 256, 256)
    activation: Literal["gelu", "relu", "silu", "tanh", "elu"] = "gelu"
    network: Literal["mlp", "residual"] = "mlp"
    layer_norm: bool = False
    posterior: Literal["diagonal", "full"] = "diagonal"
    prior: Literal["normal", "anisotropic", "sparse", "mixture", "vamp", "flow"] = "normal"
    prior_components: int = 32
    prior_scales: tuple[float, ...] = ()
    prior_training: Literal["joint", "after"] = "joint"
    beta: float = 1.0
    representation: Literal["cartesian"] = "cartesian"
    alignment: Literal["procrustes", "kabsch", "principal_axes", "center", "none"] = "procrustes"
    mass_weighted: bool = False
    scaling: Literal["isotropic", "per-feature", "none"] = "isotropic"
    likelihood: Literal["normal", "correlated", "student-t", "rotation"] = "normal"
    decoder_scale: Literal["learned", "analytic", "per-feature", "per-frame", "fixed"] = "learned"
    sigma: float = 1.0
    residual: Literal["covariance", "isotropic"] = "covariance"
    residual_rank: int = 32

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
        if not self.sigma > 0:
            raise InputError(f"`sigma` must be positive; got {self.sigma}.")
        for name in ("prior_components", "residual_rank"):
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
        if self.decoder_scale != "learned" and self.likelihood == "correlated":
            raise InputError(
                "`likelihood='correlated'` learns its widths; leave `decoder_scale` at 'learned'."
            )
        if self.decoder_scale in ("analytic", "per-feature", "per-frame") and self.likelihood != "normal":
            raise InputError(
                f"`decoder_scale={self.decoder_scale!r}` belongs to `likelihood='normal'`; got {self.likelihood!r}."
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
