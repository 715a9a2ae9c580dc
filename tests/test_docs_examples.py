"""What README and documentation say is true: their examples run, their commands and names exist."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import mdtraj
import numpy as np
import pytest

import polyvae as pv
from polyvae.cli import main
from polyvae.trajectory import Trajectory

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in DOCS.rglob("*.md") if page.relative_to(DOCS).parts[0] not in ("api", "_build")),
]
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
    "completion",
    "demo",
)

# What makes an example of hours one of seconds. Networks of one shape are compiled once for all pages; the default
# likelihood of internal coordinates compiles for minutes.
QUICK = {
    r'representation="internal"': 'representation="internal", likelihood="factorized"',
    r"epochs=\d+": "epochs=2",
    r"hidden=\([\d, ]+\)": "hidden=(8,)",
    r"latent_dim=2\)": "latent_dim=2, hidden=(8,))",
    r"ModelConfig\(\)": "ModelConfig(hidden=(8,))",
    r"latent_dims=\([\d, ]+\)": "latent_dims=(1, 2)",
    r"model, 10_000": "model, 300",
    r"starts=100": "starts=3",
    r"100_000": "2_000",
    # The tests have one.
    r"devices=4": "devices=1",
}


def quick(text: str) -> str:
    """An example that takes seconds."""
    for slow, replacement in QUICK.items():
        text = re.sub(slow, replacement, text)
    return text


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


# Their models compile for minutes.
SLOW_PAGES = {
    *("internal_coordinates", "tutorials/ensemble", "tutorials/biasing", "tutorials/kinetics"),
    *(
        "howto/own_network",
        "howto/latent_size_and_beta",
        "howto/several_trajectories",
        "explanation/decoder_width",
    ),
}


def _name(page: Path) -> str:
    """`README`, or the place of a page in the documentation."""
    return page.stem if page.parent == ROOT else str(page.relative_to(DOCS).with_suffix(""))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.science if _name(page) in SLOW_PAGES else (), id=_name(page))
        for page in PAGES_WITH_PYTHON
    ],
)
def test_python_examples_run_as_they_stand(page, files_of_the_examples, tmp_path, monkeypatch):
    for name in ("run.xtc", "system.pdb"):
        (tmp_path / name).write_bytes((files_of_the_examples / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    if _name(page) in ("energies", "deployment", "tutorials/biasing"):
        pytest.importorskip("openmm")
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(compile(quick(block), page.name, "exec"), names)
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


# The same for commands: shorter training, and less of everything that follows.
QUICK_COMMANDS = {
    r"--epochs \d+": "--epochs 2",
    r"--hidden [\d ]+(?=-)": "",
    r"(polyvae (?:run|train) .*)": r"\1 --hidden 8",
    r"(polyvae run .*)": r"\1 --generated 200 --starts 2 --samples 5",
    r"--representation internal": "--representation internal --likelihood factorized",
    r"-n 5000": "-n 200",
    r"--starts \d+": "--starts 2",
    r"(polyvae loop .*)": r"\1 --rounds 1 --first-ns 0.001 --round-ns 0.001 --save 250 --record 10 --pace 50 "
    "--points 21 --epochs 2 --hidden 8 --kl-warmup 1 --batch-size 32 --along torsion:1-3-4-6 --second -1.4 0",
}


@pytest.mark.science  # Twenty commands one after another, which compile for minutes.
def test_commands_of_the_tutorials_run_as_they_stand(tmp_path, monkeypatch, recwarn):
    pytest.importorskip("openmm_opes")
    monkeypatch.chdir(tmp_path)
    data = pv.bundled("polymer_2d.npz").parent
    # A tenth of the frames of the second tutorial.
    peptide = pv.load(data / "alanine_dipeptide.xtc", top=data / "alanine_dipeptide.pdb", stride=10)
    done = 0
    for name in ("first_run", "peptide", "ensemble", "kinetics", "biasing"):
        text = (DOCS / "tutorials" / f"{name}.md").read_text("utf-8")
        for line in re.findall(r"^\$ (.+)$", text, re.MULTILINE):
            if line.startswith("cp "):
                (tmp_path / "system.pdb").write_bytes((data / "alanine_dipeptide.pdb").read_bytes())
                pv.save_trajectory(peptide, tmp_path / "run.xtc", overwrite=True)
            if not line.startswith("polyvae "):
                continue
            for slow, replacement in QUICK_COMMANDS.items():
                line = re.sub(slow, replacement, line)
            code = main(shlex.split(line.replace("$DATA", str(data)))[1:])
            # The most compact structures of a network that has learned nothing may all be broken.
            assert code in ((0, 1) if "minimize-rg" in line else (0,)), line
            done += 1
    assert done >= 15


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
