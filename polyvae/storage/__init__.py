"""Models, training states, result records and run folders on disk; whole or not at all, without pickle."""

from polyvae.storage.checkpoints import Checkpoint
from polyvae.storage.films import check_film, save_film
from polyvae.storage.model_files import load_model, save
from polyvae.storage.records import load_record, save_latent_csv, save_record
from polyvae.storage.run_folder import RunFolder, check_run_folder, read_manifest

__all__ = [
    "Checkpoint",
    "RunFolder",
    "check_film",
    "check_run_folder",
    "load_model",
    "load_record",
    "read_manifest",
    "save",
    "save_film",
    "save_latent_csv",
    "save_record",
]
