"""An mdtraj topology as plain JSON and back: chains, residues, atoms and bonds, with nothing pickled."""

from typing import Any

import mdtraj
from mdtraj.core.element import Element
from mdtraj.core.topology import Amide, Aromatic, Double, Single, Triple

_BOND_TYPES = {str(kind): kind for kind in (Single, Double, Triple, Amide, Aromatic)}


def topology_to_json(topology: mdtraj.Topology) -> dict[str, Any]:
    """Chains, residues, atoms and bonds as lists, in the topology's order."""
    return {
        "chains": [chain.chain_id for chain in topology.chains],
        "residues": [
            [residue.name, residue.resSeq, residue.segment_id, residue.chain.index]
            for residue in topology.residues
        ],
        "atoms": [
            [
                atom.name,
                None if atom.element is None else atom.element.symbol,
                atom.residue.index,
                atom.serial,
                atom.formal_charge,
            ]
            for atom in topology.atoms
        ],
        "bonds": [
            [bond[0].index, bond[1].index, None if bond.type is None else str(bond.type), bond.order]
            for bond in topology.bonds
        ],
    }


def topology_from_json(content: dict[str, Any]) -> mdtraj.Topology:
    """The topology that `topology_to_json` described.

    Raises:
        KeyError, IndexError, TypeError, ValueError: if the content is not such a description.
    """
    topology = mdtraj.Topology()
    chains = [topology.add_chain(chain_id) for chain_id in content["chains"]]
    residues = [
        topology.add_residue(name, chains[chain], number, segment)
        for name, number, segment, chain in content["residues"]
    ]
    atoms = [
        topology.add_atom(
            name,
            None if symbol is None else Element.getBySymbol(symbol),  # pyright: ignore[reportArgumentType]
            residues[residue],
            serial=serial,
            formal_charge=charge,
        )
        for name, symbol, residue, serial, charge in content["atoms"]
    ]
    for first, second, kind, order in content["bonds"]:
        bond_type = None if kind is None else _BOND_TYPES[kind]
        topology.add_bond(atoms[first], atoms[second], type=bond_type, order=order)
    return topology
