"""Canonical frames to vectors and back, and the observables that are functions of positions alone."""

from polyvae.features.bond_tree import BondTree, bond_tree
from polyvae.features.cartesian import Cartesian, fit_cartesian
from polyvae.features.free_directions import FreeDirections
from polyvae.features.geometry import GeometryBounds, fit_geometry_bounds, geometry_violation
from polyvae.features.internal import InternalCoordinates, fit_internal
from polyvae.features.named_observables import OBSERVABLE_NAMES, Observable, observable_of
from polyvae.features.observables import (
    asphericity,
    contacts,
    distance,
    end_to_end_distance,
    pair_distances,
    radius_of_gyration,
    safe_norm,
    torsion,
)

__all__ = [
    "OBSERVABLE_NAMES",
    "BondTree",
    "Cartesian",
    "FreeDirections",
    "GeometryBounds",
    "InternalCoordinates",
    "Observable",
    "asphericity",
    "bond_tree",
    "contacts",
    "distance",
    "end_to_end_distance",
    "fit_cartesian",
    "fit_geometry_bounds",
    "fit_internal",
    "geometry_violation",
    "observable_of",
    "pair_distances",
    "radius_of_gyration",
    "safe_norm",
    "torsion",
]
