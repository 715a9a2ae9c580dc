"""The numbers of a run: `summary.json`, and the short table with baselines that a run ends with."""

import dataclasses
import textwrap
from typing import Any

import numpy as np

from polyvae.cli.workflow import RunResults
from polyvae.training import Diagnosis, FitResult
from polyvae.trajectory import Trajectory
from polyvae.trajectory.finding import counted
from polyvae.trajectory.weights import effective_sample_size


def fit_summary(result: FitResult, trajectory: Trajectory) -> dict[str, Any]:
    """The sections `data`, `training` and `diagnosis`."""
    split, epoch = result.split, result.best_epoch - 1
    kl = result.history.validation_kl[epoch] if len(result.history) else np.zeros(0)
    sigma = float(result.history.sigma[epoch]) if len(result.history) else np.nan
    times = trajectory.times
    return {
        "data": {
            "source": trajectory.source,
            "frames": trajectory.n_frames,
            "atoms": trajectory.n_atoms,
            "dims": trajectory.dims,
            "units": trajectory.units.name,
            "length_unit": trajectory.units.length,
            "time_unit": trajectory.units.time,
            "time_step": None if times is None or len(times) < 2 else float(np.median(np.diff(times))),
            "segments": list(trajectory.segments),
            "selection": trajectory.selection,
            "bond_source": trajectory.bond_source,
            "skipped": [
                {"file": skipped.file, "frames": skipped.n_frames, "first": list(skipped.first)}
                for skipped in trajectory.skipped
            ],
            "weights": {
                "used": trajectory.weights is not None,
                "effective_sample_size": effective_sample_size(trajectory.weights, trajectory.n_frames),
            },
        },
        "training": {
            "epochs": len(result.history),
            "best_epoch": result.best_epoch,
            "status": result.status,
            "late_gain": result.history.late_gain,
            "still_rising": result.history.still_rising,
            "seconds": result.seconds,
            "startup_seconds": result.startup_seconds,
            "train_frames": len(split.train),
            "validation_frames": len(split.validation),
            "test_frames": len(split.test),
            "gap": split.gap,
            "autocorrelation_time": split.autocorrelation_time,
            "autocorrelation_time_unit": "frames",
            "sigma": sigma if np.isfinite(sigma) else None,
            "sigma_unit": "scaled features",
            "rate_nats": float(np.sum(kl)),
            "kl_per_dimension": kl.tolist(),
            "degenerate_frames": len(result.degenerate_frames),
            "lag_time": result.train_config.lag_time,
            "vamp_weight": result.train_config.vamp_weight,
        },
        "diagnosis": _diagnosis(result.diagnosis),
    }


def _diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    """All fields of the diagnosis as plain numbers, and its sentence."""
    fields = {field.name: getattr(diagnosis, field.name) for field in dataclasses.fields(diagnosis)}
    plain = {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()
    }
    return {**plain, "sentence": diagnosis.sentence, "unit": "nats per frame"}


def run_summary(results: RunResults) -> dict[str, Any]:
    """All sections of `summary.json`."""
    reconstruction, likelihood, marginals = results.reconstruction, results.likelihood, results.marginals
    latent, compact = results.latent, results.compact
    chain = None if likelihood is None else likelihood.chain
    return {
        **fit_summary(results.fit, results.trajectory),
        "reconstruction": {
            "rmsd": reconstruction.average_rmsd,
            "pca_rmsd": reconstruction.average_pca_rmsd,
            "mean_structure_rmsd": reconstruction.average_mean_structure_rmsd,
            "ratio_to_pca": reconstruction.ratio,
            "train_rmsd": reconstruction.average_train_rmsd,
            "unit": reconstruction.unit,
        },
        "likelihood": {
            "vae_iwae": None if likelihood is None else likelihood.model.value,
            "vae_iwae_standard_error": None if likelihood is None else likelihood.model.standard_error,
            "gaussian": None if likelihood is None else likelihood.gaussian.value,
            "gaussian_chain": None if chain is None else chain.value,
            "samples": None if likelihood is None else likelihood.model.samples,
            "rate": None if likelihood is None else likelihood.rate,
            "unit": "nats per frame",
        },
        "marginals": {
            "pairs": len(marginals.pairs),
            "w1_mean": float(marginals.w1.mean()),
            "w1_max": float(marginals.w1.max()),
            "floor_w1_mean": float(marginals.floor_w1.mean()),
            "ratio_to_floor": marginals.ratio_to_floor,
            "js_mean": float(marginals.js.mean()),
            "floor_js_mean": float(marginals.floor_js.mean()),
            "null_model_w1_mean": results.null_w1_mean,
            "gaussian_w1_mean": results.gaussian_w1_mean,
            "unit": marginals.unit,
            "js_unit": "nats",
        },
        "latent": {
            "source": latent.source,
            "frames": len(latent.mean),
            "largest_step_fraction": latent.largest_step,
            "span": latent.span.tolist(),
        },
        "compact": None
        if compact is None
        else {
            "starts": compact.n_starts,
            "valid": compact.n_valid,
            "best": compact.best,
            "data_minimum": compact.data_minimum,
            "unit": compact.unit,
        },
        "score": None if results.score is None else results.score.to_json(),
        "meaning": {
            "coordinates": [dataclasses.asdict(each) for each in results.overview.meanings],
            "together": [dataclasses.asdict(each) for each in results.overview.determined],
        },
    }


def result_table(summary: dict[str, Any]) -> str:
    """The main numbers, each beside its noise floor or baselines, and the diagnosis, as lines of text."""
    rebuilt, density, pairs = summary["reconstruction"], summary["likelihood"], summary["marginals"]
    latent, compact, data = summary["latent"], summary["compact"], summary["data"]
    rows = [("", "model", "beside it")]
    if data["weights"]["used"]:
        size = _number(data["weights"]["effective_sample_size"])
        rows.append(("effective sample size of the weighted data", size, counted(data["frames"], "frame")))
    rows.append(
        (
            f"reconstruction RMSD, held out ({rebuilt['unit']})",
            _number(rebuilt["rmsd"]),
            f"PCA {_number(rebuilt['pca_rmsd'])}, mean structure {_number(rebuilt['mean_structure_rmsd'])}",
        )
    )
    if density["vae_iwae"] is not None:
        rows.append(
            (
                "log-likelihood, held out (nats per frame)",
                f"{density['vae_iwae']:.2f}",
                f"Gaussian {density['gaussian']:.2f}, Gaussian chain without latent "
                f"{_number(density['gaussian_chain'])}",
            )
        )
        rows.append(("information in the latent (nats per frame)", f"{density['rate']:.2f}", ""))
    rows.append(
        (
            f"pair distances, mean W1 ({pairs['unit']})",
            _number(pairs["w1_mean"]),
            f"noise floor {_number(pairs['floor_w1_mean'])}, Gaussian {_number(pairs['gaussian_w1_mean'])}, "
            f"Gaussian chain without latent {_number(pairs['null_model_w1_mean'])}",
        )
    )
    rows.append(
        (
            "pair distances, mean JS (nats)",
            _number(pairs["js_mean"]),
            f"noise floor {_number(pairs['floor_js_mean'])}",
        )
    )
    rows.append(("largest latent step (share of the span)", f"{latent['largest_step_fraction']:.1%}", ""))
    if compact is not None:
        rows.append(
            (
                f"smallest radius of gyration ({compact['unit']})",
                _number(compact["best"]),
                f"data {_number(compact['data_minimum'])}; {compact['valid']} of {compact['starts']} starts valid",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    table = "\n".join(f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]}".rstrip() for row in rows)
    return f"{table}\n\n{textwrap.fill(summary['diagnosis']['sentence'], 100)}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
