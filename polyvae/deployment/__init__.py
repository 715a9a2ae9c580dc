"""The encoder as a collective variable elsewhere: NumPy, PLUMED, ONNX and Colvars.

Each export writes the mean of q(z|x) as a function of raw positions, and can be compared with the model on frames.
"""

from polyvae.deployment.numpy_export import export_numpy

__all__ = ["export_numpy"]
