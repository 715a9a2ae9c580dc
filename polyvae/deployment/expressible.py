"""What engines that know perceptrons of fitted coordinates cannot express."""

from polyvae.deployment.numpy_runtime import Encoder
from polyvae.errors import InputError


def check_perceptron(encoder: Encoder, *, engine: str, part: str, network: str, remedy: str) -> None:
    """Raise an `InputError` where an encoder is more than a perceptron of coordinates that such an engine has.

    Args:
        encoder: what is to be written.
        engine: its name.
        part: what it calls a building block.
        network: what it calls its perceptron.
        remedy: another export that takes every such model, as a sentence.
    """
    if encoder.motion == "principal_axes":
        raise InputError(
            f"{engine} has no {part} that turns frames onto their principal axes. Train with "
            f"`alignment='procrustes'`, which is continuous in time too. {remedy}"
        )
    if encoder.image.size:
        raise InputError(
            f"The encoder sees signed volumes and distances of `likelihood='rotation'`, which {engine} has no {part} "
            f"for. Train with another likelihood, or with `representation='internal'`. {remedy}"
        )
    if encoder.gains or any(encoder.adds):
        kind = "layer normalization" if encoder.gains else "residual layers"
        raise InputError(
            f"The encoder has {kind}, which {network} does not know. Train with `network='mlp'` and "
            f"`layer_norm=False`. {remedy}"
        )
