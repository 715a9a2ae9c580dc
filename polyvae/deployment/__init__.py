"""The encoder as a collective variable elsewhere: NumPy, PLUMED, ONNX and Colvars.

Each export writes the mean of q(z|x) as a function of raw positions, and can be compared with the model on frames.
"""

from polyvae.deployment.colvars import export_colvars
from polyvae.deployment.numpy_export import export_numpy
from polyvae.deployment.onnx_export import export_onnx
from polyvae.deployment.plumed import export_plumed, plumed_model
from polyvae.deployment.plumed_kernel import verify_plumed
from polyvae.deployment.pycv import export_pycv

__all__ = [
    "export_colvars",
    "export_numpy",
    "export_onnx",
    "export_plumed",
    "export_pycv",
    "plumed_model",
    "verify_plumed",
]
