"""Encoding and sampling many frames: a trained model of polyvae beside PyTorch and mlcolvar, on one core.

    pip install 'polyvae[bench]'
    python benchmarks/encode_sample.py [--frames 1000000] [--chunk 2048] [--repeats 5]

Frames of 22 atoms, 66 numbers; hidden layers of 256, 256 and 256, two latents. polyvae's side is `latent_trajectory`
and `generate`, with all that they do: checks, centering and scaling, both posterior moments, the prior, the decoder's
noise. The other sides get vectors that are ready, in chunks (`--chunk`): PyTorch as an evaluated network that draws
latents and noise, mlcolvar's `VariationalAutoEncoderCV` by its call for encoding and by its decoder. Repetitions are
interleaved and medians are shown.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from libraries import optional, versions

import polyvae as pv

ATOMS, HIDDEN, LATENT = 22, (256, 256, 256), 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=2048, help="frames at once of the other sides")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch = optional("torch")
    torch.set_num_threads(1)
    positions = np.random.default_rng(0).normal(size=(arguments.frames, ATOMS, 3)).astype(np.float32)
    trajectory = pv.Trajectory(positions=positions)
    result = pv.fit(
        positions[:2000],
        pv.ModelConfig(alignment="none", hidden=HIDDEN, latent_dim=LATENT, activation="relu"),
        pv.TrainConfig(epochs=1),
    )
    vectors = torch.from_numpy(positions.reshape(len(positions), -1))
    peers = {"PyTorch": _torch(torch), "mlcolvar": _mlcolvar()}
    print(f"{arguments.frames} frames x {3 * ATOMS}; {versions('jax', 'torch', 'mlcolvar')}")
    sides: dict[str, dict[str, Callable[[], object]]] = {
        "encode": {"polyvae": lambda: pv.latent_trajectory(result.model, trajectory)},
        "sample": {"polyvae": lambda: pv.generate(result.model, arguments.frames)},
    }
    for name, (encode, decode) in peers.items():
        sides["encode"][name] = lambda encode=encode: _encoded(torch, encode, vectors.split(arguments.chunk))
        sides["sample"][name] = lambda decode=decode: _sampled(
            torch, decode, arguments.frames, arguments.chunk
        )
    print(f"{'side':24s} {'million frames/s':>17s} {'polyvae is x':>14s}")
    for task, runs in sides.items():
        for run in runs.values():
            run()
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _, (name, run) in itertools.product(range(arguments.repeats), runs.items()):
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
        medians = {name: float(np.median(values)) for name, values in seconds.items()}
        for name, value in medians.items():
            rate = arguments.frames / value / 1e6
            print(f"{task + ', ' + name:24s} {rate:17.3f} {value / medians['polyvae']:14.2f}")


def _encoded(torch: Any, encode: Callable[[Any], Any], parts: Any) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat([encode(part) for part in parts]).numpy()


def _sampled(torch: Any, decode: Callable[[Any], Any], n_frames: int, chunk: int) -> np.ndarray:
    with torch.inference_mode():
        parts = []
        for start in range(0, n_frames, chunk):
            mean = decode(torch.randn(min(chunk, n_frames - start), LATENT))
            parts.append(mean + 0.1 * torch.randn_like(mean))
        return torch.cat(parts).numpy()


def _torch(torch: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    def perceptron(widths: list[int]) -> Any:
        layers: list[Any] = []
        for a, b in itertools.pairwise(widths):
            layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1]).eval()

    return perceptron([3 * ATOMS, *HIDDEN, 2 * LATENT]), perceptron([LATENT, *HIDDEN, 3 * ATOMS])


def _mlcolvar() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    model = optional("mlcolvar.cvs").VariationalAutoEncoderCV(LATENT, [3 * ATOMS, *HIDDEN]).eval()
    return model, model.get_decoder(return_normalization=True)


if __name__ == "__main__":
    main()
