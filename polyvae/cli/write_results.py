"""A run's results as files: records, structures, figures, summary and report in one folder."""

from polyvae.analysis import OptimizedConformations
from polyvae.cli.figures import write_figures
from polyvae.cli.summary import run_summary
from polyvae.cli.workflow import RunResults
from polyvae.report import report_of_folder
from polyvae.storage import RunFolder, save_latent_csv, save_record
from polyvae.trajectory import Trajectory, save_trajectory


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
    if results.compact is not None:
        save_record(results.compact, folder.file("optimization.npz"), overwrite=True)
    save_record(results.linear, folder.file("linear_maps.npz"), overwrite=True)
    save_record(results.surface, folder.file("free_energy.npz"), overwrite=True)
    save_record(results.overview, folder.file("overview.npz"), overwrite=True)
    write_ensemble(folder, results.generated)
    if results.compact is not None:
        write_compact(folder, results.compact)
    summary = run_summary(results)
    folder.write_json("summary.json", summary)
    write_figures(folder, results)
    folder.file("report.html")
    report_of_folder(folder.path, overwrite=True)
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
