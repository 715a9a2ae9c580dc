"""A run's results as files: records, structures, figures, summary and report in one folder."""

import shlex

from polyvae.analysis import OptimizedConformations
from polyvae.cli.figures import write_figures
from polyvae.cli.summary import run_summary
from polyvae.cli.workflow import RunResults
from polyvae.report import write_report
from polyvae.storage import RunFolder, save_latent_csv, save_record
from polyvae.trajectory import Trajectory, save_trajectory

_PROVENANCE = ("command", "settings", "inputs", "versions", "python", "platform", "started")


def write_results(folder: RunFolder, results: RunResults) -> dict:
    """Write every result of a run but the model.

    Returns:
        The content of `summary.json`.
    """
    save_record(results.latent, folder.file("latent.npz"), overwrite=True)
    save_latent_csv(results.latent, folder.file("latent.csv"), overwrite=True)
    save_record(results.marginals, folder.file("marginals.npz"), overwrite=True)
    save_record(results.reconstruction, folder.file("reconstruction.npz"), overwrite=True)
    if results.likelihood is not None:
        save_record(results.likelihood, folder.file("likelihood.npz"), overwrite=True)
    save_record(results.compact, folder.file("optimization.npz"), overwrite=True)
    write_ensemble(folder, results.generated)
    write_compact(folder, results.compact)
    summary = run_summary(results)
    folder.write_json("summary.json", summary)
    figures = write_figures(folder, results)
    write_report(
        folder.path,
        summary=summary,
        figures=figures,
        provenance={name: folder.manifest[name] for name in _PROVENANCE}
        | {"command": shlex.join(folder.manifest["command"])},
        title=f"polyvae: {results.trajectory.source}",
        overwrite=folder.file("report.html").exists(),
    )
    return summary


def write_ensemble(folder: RunFolder, generated: Trajectory) -> None:
    """Generated conformations: XTC with a PDB where molecular programs can use them, NPZ for bead models."""
    if generated.dims == 3 and generated.topology is not None:
        save_trajectory(generated[:1], folder.file("generated.pdb"), overwrite=True)
        save_trajectory(generated, folder.file("generated.xtc"), overwrite=True)
    else:
        save_trajectory(generated, folder.file("generated.npz"), overwrite=True)


def write_compact(folder: RunFolder, compact: OptimizedConformations) -> None:
    """The valid compact conformations, best first, if there are any."""
    for name in ("compact.pdb", "compact.npz"):
        if compact.trajectory is not None:
            save_trajectory(compact.trajectory, folder.file(name), overwrite=True)
        else:
            folder.remove(name)
