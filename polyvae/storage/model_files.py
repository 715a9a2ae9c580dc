"""Model files: `<stem>.safetensors` with every array of a model, `<stem>.json` with the rest, no pickle.

The JSON holds the format version, the versions of the libraries, the settings, the system (topology,
selection, units, masses, bonds, hash of the training data), shape and type of each array and the SHA-256 of
both files' content. It is written last, so that a pair is complete as soon as it is there. Loading verifies
all of it.
"""

import dataclasses
import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from polyvae._compiled_code import keep_compiled_code
from polyvae.errors import InputError, OutputError
from polyvae.features import GeometryBounds
from polyvae.preprocessing import Alignment
from polyvae.storage.internal_json import (
    InternalOutline,
    blank_cartesian,
    internal_outline,
    internal_to_json,
)
from polyvae.storage.topology_json import topology_from_json, topology_to_json
from polyvae.trajectory import atomic_path
from polyvae.units import BY_NAME
from polyvae.vae import ConformationModel, EncoderDecoder, ModelConfig, Network, Prior, SystemInfo, make_vae
from polyvae.vae.likelihoods import CorrelatedNormal, Likelihood, LowRankNormal
from polyvae.vae.vae import initial_likelihood, initial_prior

FORMAT = "polyvae-model"
FORMAT_VERSION = 4
_SUFFIXES = (".safetensors", ".json")


def save(model: ConformationModel, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a model as a pair of files, each of them whole or not at all.

    Args:
        model: what to save.
        path: with either suffix, without one, or an existing folder (then `model.*` in it).
        overwrite: whether an existing pair may be replaced.

    Returns:
        The path of the JSON file.

    Raises:
        InputError: if `model` is no conformation model, a file exists and `overwrite` is False, or cannot be written.
    """
    if not isinstance(model, ConformationModel):
        raise InputError(
            f"`model` must be a ConformationModel, such as `fit(...).model`; got a {type(model).__name__}. A VAE of "
            "vectors is saved by equinox.tree_serialise_leaves(path, vae)."
        )
    weights_path, json_path = model_paths(path)
    if not overwrite:
        for existing in (json_path, weights_path):
            if existing.exists():
                raise OutputError(f"{existing} exists already. Choose another path or pass overwrite=True.")
    # Ascontiguous because safetensors stores strided arrays wrongly; 0-d arrays must stay 0-d.
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in _named_leaves(model).items()}
    weights = safetensors.numpy.save(arrays)
    network = model.vae.network
    content: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {
            name: version(name) for name in ("polyvae", "jax", "equinox", "numpy", "safetensors", "mdtraj")
        },
        "config": dataclasses.asdict(model.config),
        "system": _system_to_json(model.system),
        # The class of a network that did not come with polyvae; its structure is the user's to keep.
        "network": None if isinstance(network, EncoderDecoder) else type(network).__name__,
        "internal": internal_to_json(model),
        "leaves": {
            name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()
        },
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    content["sha256"] = _digest(content)
    with atomic_path(weights_path, overwrite=overwrite) as temporary:
        temporary.write_bytes(weights)
    with atomic_path(json_path, overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return json_path


def load_model(path: str | os.PathLike[str], *, network: Network | None = None) -> ConformationModel:
    """The model of a pair of files, verified: version, checksums, name, shape and type of every array.

    Args:
        path: either file, their common stem, or a run folder.
        network: for a model trained with its own network, one of the same structure; its arrays are replaced.

    Raises:
        InputError: if a file is missing, damaged, of another format or of a newer version; the message names
            the file and, where it is one, the array.
    """
    keep_compiled_code()
    weights_path, json_path = model_paths(path)
    for file, other in ((json_path, weights_path), (weights_path, json_path)):
        if not file.is_file():
            what = (
                f"only {other.name} is there; copy both"
                if other.is_file()
                else "there is no model at this path"
            )
            raise InputError(
                f"{file} does not exist: {what}. A model is a pair, <stem>.safetensors and <stem>.json."
            )
    content = _read_json(json_path)
    arrays = _read_arrays(weights_path, json_path, content)
    try:
        config = content["config"]
        # JSON has lists where the settings have tuples.
        config = ModelConfig(**{name: _tupled(value) for name, value in config.items()})
        system = _system_from_json(content["system"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{json_path} does not describe a polyvae model: {error}.") from error
    if network is None and content["network"] is not None:
        raise InputError(
            f"{json_path}: the model was trained with its own network, a {content['network']}. Pass one of the same "
            "structure: load_model(path, network=...)."
        )
    try:
        internal = internal_outline(content.get("internal"), arrays, config, system)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{json_path} does not describe the internal coordinates of a model: {error}."
        ) from error
    return _assembled(arrays, config, system, network, internal, weights_path)


def model_paths(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The paths of the arrays and of the JSON of a model called `path`."""
    target = Path(path)
    if target.is_dir():
        target = target / "model"
    stem = target.name.removesuffix(target.suffix) if target.suffix in _SUFFIXES else target.name
    return target.parent / f"{stem}.safetensors", target.parent / f"{stem}.json"


def _named_leaves(model: Any) -> dict[str, Any]:
    """The arrays of a model by name; anything else is implied by the settings."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(eqx.filter(model, _is_array))
    return {jax.tree_util.keystr(path).removeprefix("."): leaf for path, leaf in leaves}


def _digest(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "sha256"}
    # Numbers and tuples as they look after a round trip through a file.
    text = json.dumps(json.loads(json.dumps(rest)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as JSON: {error}. It may be damaged; copy it again."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path} is not a polyvae model. Name a model written by `polyvae.save` or `polyvae run`."
        )
    found = content.get("format_version")
    if isinstance(found, int) and found < FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {found}, from an older polyvae; this one ({version('polyvae')}) reads version "
            f"{FORMAT_VERSION}. Train the model again."
        )
    if not isinstance(found, int) or found > FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {found}; this polyvae ({version('polyvae')}) reads up to "
            f"{FORMAT_VERSION}. Upgrade polyvae."
        )
    if content.get("sha256") != _digest(content):
        raise InputError(
            f"{path} was damaged or changed: its content does not match its SHA-256. Copy it again."
        )
    return content


def _read_arrays(path: Path, json_path: Path, content: dict[str, Any]) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != content["weights_sha256"]:
        raise InputError(
            f"{path} does not match the SHA-256 in {json_path.name}: it is damaged, truncated or belongs to "
            "another model. Copy both files again."
        )
    try:
        arrays = safetensors.numpy.load(data)
    except SafetensorError as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}.") from error
    for name in sorted(set(arrays) ^ set(content["leaves"])):
        has, lacks = (path, json_path) if name in arrays else (json_path, path)
        raise InputError(f"{path}: the array {name} is in {has.name} but not in {lacks.name}.")
    for name, array in arrays.items():
        stated = content["leaves"][name]
        if list(array.shape) != stated["shape"] or str(array.dtype) != stated["dtype"]:
            raise InputError(
                f"{path}: the array {name} should be {stated['dtype']} of shape {stated['shape']}; "
                f"found {array.dtype} of shape {list(array.shape)}."
            )
    return arrays


def _assembled(
    arrays: dict[str, np.ndarray],
    config: ModelConfig,
    system: SystemInfo,
    network: Network | None,
    internal: InternalOutline | None,
    path: Path,
) -> ConformationModel:
    """The model with the structure that settings and system imply, and the given arrays."""
    name = "representation.mean" if internal is None else "representation.cartesian.mean"
    mean, bonds = arrays.get(name), arrays.get("geometry.bonds")
    if mean is None or bonds is None:
        raise InputError(f"{path}: the arrays {name} and geometry.bonds are required.")
    likelihood = _fitted_likelihood(arrays) if internal is None else internal.likelihood
    outline = eqx.filter_eval_shape(
        lambda: _blank(config, system, len(mean), len(bonds), likelihood, network, internal)
    )
    expected = _named_leaves(outline)
    for name in sorted(set(arrays) ^ set(expected)):
        problem = "is missing" if name in expected else "does not belong to a model with these settings"
        raise InputError(f"{path}: the array {name} {problem}.")
    leaves = []
    for name, leaf in expected.items():
        array = arrays[name]
        if array.shape != leaf.shape or array.dtype.kind != leaf.dtype.kind:
            raise InputError(
                f"{path}: the array {name} should be {leaf.dtype} of shape {leaf.shape}; "
                f"found {array.dtype} of shape {array.shape}."
            )
        # Double-precision models load in single precision unless x64 is enabled, as everywhere in JAX.
        leaves.append(jnp.asarray(array, jax.dtypes.canonicalize_dtype(array.dtype)))
    blank, rest = eqx.partition(outline, _is_array)
    return eqx.combine(jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(blank), leaves), rest)


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _fitted_likelihood(arrays: dict[str, np.ndarray]) -> Likelihood | None:
    """The outline of a likelihood that training ended with, where it is not the one that training began with."""
    factor, diagonal = arrays.get("vae.likelihood.factor"), arrays.get("vae.likelihood.log_diagonal")
    if factor is not None:
        return LowRankNormal(log_scale=jnp.zeros(factor.shape[:1]), factor=jnp.zeros(factor.shape))
    return None if diagonal is None else CorrelatedNormal.isotropic(len(diagonal))


def _blank(
    config: ModelConfig,
    system: SystemInfo,
    n_features: int,
    n_bonds: int,
    likelihood: Likelihood | None,
    network: Network | None,
    internal: InternalOutline | None,
) -> ConformationModel:
    n_atoms, dims = system.n_atoms, system.dims
    has_reference = config.alignment in ("procrustes", "kabsch")
    if internal is None:
        vae = make_vae(initial_likelihood(config, n_features, dims), config, network=network)
    else:
        vae = make_vae(internal.likelihood, config, network=network, inputs=internal.inputs)
    # What is fitted after training has another structure than what training began with.
    vae = eqx.tree_at(
        lambda tree: tree.likelihood,
        vae,
        likelihood or vae.likelihood,
        is_leaf=lambda leaf: isinstance(leaf, Likelihood),
    )
    prior = initial_prior(config, n_features, np.random.default_rng(0), None)
    vae = eqx.tree_at(lambda tree: tree.prior, vae, prior, is_leaf=lambda leaf: isinstance(leaf, Prior))
    zero = jnp.zeros(())
    return ConformationModel(
        alignment=Alignment(
            method=config.alignment,
            weights=jnp.zeros(n_atoms),
            reference=jnp.zeros((n_atoms, dims)) if has_reference else None,
        ),
        representation=blank_cartesian(n_features, n_atoms, dims)
        if internal is None
        else internal.representation,
        vae=vae,
        geometry=GeometryBounds(
            bonds=jnp.zeros((n_bonds, 2), jnp.int32),
            bond_low=jnp.zeros(n_bonds),
            bond_high=jnp.zeros(n_bonds),
            mean_bond_low=zero,
            closest_bonded=zero,
            closest_nonbonded=zero,
            radius_of_gyration_low=zero,
            masses=jnp.zeros(n_atoms),
        ),
        config=config,
        system=system,
    )


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _system_to_json(system: SystemInfo) -> dict[str, Any]:
    content = {field.name: getattr(system, field.name) for field in dataclasses.fields(system)}
    if system.topology is not None:
        content["topology"] = topology_to_json(system.topology)
    for name in ("bonds", "masses"):
        if content[name] is not None:
            content[name] = np.asarray(content[name]).tolist()
    return content


def _system_from_json(content: dict[str, Any]) -> SystemInfo:
    fields = dict(content)
    if fields["topology"] is not None:
        fields["topology"] = topology_from_json(fields["topology"])
        if fields["topology"].n_atoms != fields["n_atoms"]:
            raise ValueError(
                f"the topology has {fields['topology'].n_atoms} atoms, the model {fields['n_atoms']}"
            )
    if fields["bonds"] is not None:
        fields["bonds"] = np.asarray(fields["bonds"], np.int64).reshape(-1, 2)
    if fields["masses"] is not None:
        fields["masses"] = np.asarray(fields["masses"], np.float64)
    if fields["units"] not in BY_NAME:
        raise ValueError(f"unknown units {fields['units']!r}")
    return SystemInfo(**fields)
