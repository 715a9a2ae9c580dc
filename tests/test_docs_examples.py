"""What README and documentation say is true: their examples run, their commands and names exist."""

import importlib.util
import re
import tomllib
from pathlib import Path

import mdtraj
import numpy as np
import pytest

import polyvae as pv
from polyvae.cli import main
from polyvae.trajectory import Trajectory

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES_WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text("utf-8")]
VERBS = (
    "run",
    "train",
    "encode",
    "generate",
    "marginals",
    "score",
    "fes",
    "kinetics",
    "minimize-rg",
    "optimize",
    "path",
    "loop",
    "export",
    "film",
    "report",
    "inspect",
    "demo",
)

# What makes an example of hours one of seconds. The default likelihood of internal coordinates compiles for minutes.
QUICK = {
    'representation="internal"': 'representation="internal", likelihood="factorized"',
    "epochs=200": "epochs=2",
    "latent_dim=2)": "latent_dim=2, hidden=(8,))",
    "10_000": "300",
    "starts=100": "starts=3",
    # The tests have one.
    "devices=4": "devices=1",
}


@pytest.fixture(scope="session")
def files_of_the_examples(tmp_path_factory) -> Path:
    """`run.xtc` and `system.pdb`: a chain of twelve CA atoms."""
    folder = tmp_path_factory.mktemp("examples")
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for _ in range(12):
        topology.add_atom("CA", mdtraj.element.carbon, topology.add_residue("GLY", chain))
    positions = pv.load(pv.bundled("polymer_3d.npz"), stop=1200).positions * np.float32(0.38)
    trajectory = Trajectory(positions=positions, times=np.arange(1200.0), topology=topology)
    pv.save_trajectory(trajectory, folder / "run.xtc")
    pv.save_trajectory(trajectory[:1], folder / "system.pdb")
    return folder


# Its models compile for minutes.
SLOW_PAGES = {"internal_coordinates"}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.science if page.stem in SLOW_PAGES else (), id=page.stem)
        for page in PAGES_WITH_PYTHON
    ],
)
def test_python_examples_run_as_they_stand(page, files_of_the_examples, tmp_path, monkeypatch):
    for name in ("run.xtc", "system.pdb"):
        (tmp_path / name).write_bytes((files_of_the_examples / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    if page.stem == "energies":
        pytest.importorskip("openmm")
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for slow, quick in QUICK.items():
            block = block.replace(slow, quick)
        exec(compile(block, page.name, "exec"), names)
    assert names["pv"] is pv


def _commands() -> list[tuple[str, list[str]]]:
    """Verb and flags of every command line that README and documentation show."""
    found = []
    for page in PAGES:
        for line in re.findall(r"^(?:\$ |    )polyvae (.+)$", page.read_text("utf-8"), re.MULTILINE):
            verb, *words = line.split("#")[0].split()
            if verb != "COMMAND":
                found.append((verb, [word for word in words if re.match(r"--?[a-z]", word)]))
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_commands_in_the_documentation_have_known_flags(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([verb, "--help"]) == 0
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9.-]*", capsys.readouterr().out))
    for named, used in _commands():
        assert named in VERBS
        if named == verb:
            assert set(used) <= flags


def test_the_documentation_shows_commands():
    assert {"run", "inspect"} <= {verb for verb, _ in _commands()}


def test_run_file_in_the_documentation_is_toml():
    text = (ROOT / "docs" / "command_line.md").read_text("utf-8")
    content = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    pv.ModelConfig(**{**content["model"], "hidden": tuple(content["model"]["hidden"])})
    pv.TrainConfig(**content["training"])
    assert content["trajectories"] == ["run.xtc"]


def test_every_public_name_stands_in_the_api_index():
    text = (ROOT / "docs" / "api" / "index.md").read_text("utf-8")
    missing = [name for name in pv.__all__ if name != "__version__" and f"`pv.{name} <" not in text]
    assert missing == []


def test_links_of_the_readme_lead_to_files():
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_picture_of_the_rooms_shows_the_import_contract():
    specification = importlib.util.spec_from_file_location("draw_rooms", ROOT / "docs" / "draw_rooms.py")
    drawing = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(drawing)
    assert (ROOT / "docs" / "_static" / "rooms.svg").read_text("utf-8") == drawing.picture()


def test_citation_and_changelog_name_this_version():
    assert f"version: {pv.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"## [{pv.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
