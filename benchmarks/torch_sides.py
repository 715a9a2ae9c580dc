"""The textbook VAE trained by PyTorch, mlcolvar and deeptime as their users would, for the scripts that time training.

Encoder and decoder have hidden layers of 256, 256 and 256, the latent two dimensions; Adam at 1e-3. Nothing here loads
JAX, so that a process which trains with one of these pays for no other library.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from libraries import optional

HIDDEN, LATENT = (256, 256, 256), 2


@dataclass(frozen=True)
class Case:
    """A size: frames, features and frames a batch."""

    frames: int
    features: int
    batch: int


CASES = {"small": Case(8192, 24, 32), "medium": Case(100_096, 66, 256), "wide": Case(16_384, 3000, 256)}


def by_torch(data: np.ndarray, case: Case) -> Callable[[], None]:
    """A pass of an eager loop with `torch.optim.Adam`, batches by indexing a shuffled order."""
    torch = optional("torch")
    encoder = _perceptron(torch, [case.features, *HIDDEN, 2 * LATENT])
    decoder = _perceptron(torch, [LATENT, *HIDDEN, case.features])
    log_scale = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), log_scale], lr=1e-3)
    frames = torch.from_numpy(data)

    def run() -> None:
        for rows in torch.randperm(case.frames).split(case.batch):
            batch = frames[rows]
            mean, log_variance = encoder(batch).chunk(2, dim=1)
            latent = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            square = torch.sum((batch - decoder(latent)) ** 2, dim=1)
            fit = 0.5 * square * torch.exp(-2 * log_scale) + case.features * log_scale
            kl = 0.5 * torch.sum(mean**2 + log_variance.exp() - log_variance - 1, dim=1)
            optimizer.zero_grad()
            torch.mean(fit + kl).backward()
            optimizer.step()

    return run


def by_mlcolvar(data: np.ndarray, case: Case, *, epochs: int = 2) -> Callable[[], float]:
    """`VariationalAutoEncoderCV` under a Lightning `Trainer`; returns the time between the starts of two passes.

    Args:
        data: frames, shape (frames, features).
        case: the size.
        epochs: passes over the frames, two or more.
    """
    torch, lightning = optional("torch"), optional("lightning")
    cvs, tools = optional("mlcolvar.cvs"), optional("mlcolvar.data")
    # The dataset must hold a validation part.
    frames = torch.from_numpy(np.concatenate([data, data[:1]]))

    def run() -> float:
        module = tools.DictModule(
            tools.DictDataset({"data": frames}),
            lengths=[case.frames, 1],
            batch_size=[case.batch, 1],
            random_split=False,
            shuffle=[True, False],
        )
        model = cvs.VariationalAutoEncoderCV(LATENT, [case.features, *HIDDEN])
        starts: list[float] = []

        class Clock(lightning.Callback):
            def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
                starts.append(time.perf_counter())

        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=[Clock()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, module)
        return starts[1] - starts[0]

    return run


def by_deeptime(data: np.ndarray, case: Case, *, epochs: int = 1) -> Callable[[], object]:
    """`TVAE.fit` with a shuffled `DataLoader` of frames and themselves."""
    torch = optional("torch")
    deep, tools = optional("deeptime.decomposition.deep"), optional("deeptime.util.torch")
    estimator = deep.TVAE(
        deep.TVAEEncoder([case.features, *HIDDEN, LATENT]), tools.MLP([LATENT, *HIDDEN, case.features])
    )
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(data), torch.from_numpy(data))
    loader = torch.utils.data.DataLoader(pairs, batch_size=case.batch, shuffle=True)
    return lambda: estimator.fit(loader, n_epochs=epochs)


def _perceptron(torch: Any, widths: list[int]) -> Any:
    layers: list[Any] = []
    for a, b in itertools.pairwise(widths):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])
