"""Canonical frames to vectors and back, and the observables that are functions of positions alone."""

from polyvae.features.cartesian import Cartesian, fit_cartesian
from polyvae.features.geometry import GeometryBounds, fit_geometry_bounds, geometry_violation
from polyvae.features.observables import (
    end_to_end_distance,
    pair_distances,
    radius_of_gyration,
    safe_norm,
)

__all__ = [
    "Cartesian",
    "GeometryBounds",
    "end_to_end_distance",
    "fit_cartesian",
    "fit_geometry_bounds",
    "geometry_violation",
    "pair_distances",
    "radius_of_gyration",
    "safe_norm",
]
