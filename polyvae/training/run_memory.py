"""An estimate of the memory that `polyvae run` takes."""


def run_memory_mb(n_frames, n_atoms, dims):
    return 1.0
