"""What pages quote is in the code: messages, public names, scripts."""

import ast
import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PLACE = "…"
PUBLIC = (
    "polyvae.analysis",
    "polyvae.deployment",
    "polyvae.deployment.openmm",
    "polyvae.features",
    "polyvae.plots",
    "polyvae.preprocessing",
    "polyvae.report",
    "polyvae.simulation",
    "polyvae.storage",
    "polyvae.training",
    "polyvae.trajectory",
    "polyvae.vae",
    "polyvae.vae.likelihoods",
)


def _messages() -> list[str]:
    """Every string of the package, with an ellipsis for what is filled in."""
    found = []
    for path in (ROOT / "polyvae").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(part.value if isinstance(part, ast.Constant) else PLACE for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def _is_quoted_from(quote: str, message: str) -> bool:
    """Whether the fixed parts of a quotation stand in a message, in their order."""
    place = 0
    for part in (part.strip() for part in quote.split(PLACE)):
        found = message.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True


def test_quotations_are_compared_by_their_fixed_parts():
    assert _is_quoted_from("… holds … atoms", "…: the file holds … of … atoms. Give more.")
    assert not _is_quoted_from("… atoms holds …", "…: the file holds … of … atoms. Give more.")
    assert not _is_quoted_from("… holds no atoms", "…: the file holds … atoms.")


def test_messages_under_troubleshooting_are_those_of_the_package():
    text = (DOCS / "troubleshooting.md").read_text("utf-8")
    quotes = [match[1].strip() for match in re.finditer(r"^### (?:``|`)(.+?)(?:``|`)$", text, re.MULTILINE)]
    assert len(quotes) >= 25
    assert len(quotes) == len(re.findall(r"^### ", text, re.MULTILINE))
    # A quotation of next to nothing would be found anywhere.
    assert min(len(quote.replace(PLACE, "")) for quote in quotes) > 20
    messages = _messages()
    assert [quote for quote in quotes if not any(_is_quoted_from(quote, m) for m in messages)] == []


def _shown(page: Path) -> set[str]:
    """The modules whose members a page of the API shows."""
    return set(re.findall(r"^\.\. automodule:: (\S+)\n   :members:", page.read_text("utf-8"), re.MULTILINE))


def test_every_public_module_is_on_a_page_of_the_api():
    shown = set().union(*(_shown(page) for page in (DOCS / "api").glob("*.md")))
    assert {*PUBLIC, "polyvae.errors", "polyvae.units"} == shown


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_that_its_page_can_show(name):
    module = importlib.import_module(name)
    assert module.__all__
    for public in module.__all__:
        # Constants have their documentation in the source, after the assignment.
        if callable(value := getattr(module, public)) and not type(value).__module__.startswith("typing"):
            assert getattr(value, "__doc__", None), f"{name}.{public}"


def test_every_public_sub_package_is_listed_here():
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "polyvae").rglob("__init__.py")
        if "__all__" in path.read_text("utf-8")
    }
    assert found - {"polyvae", "polyvae.cli"} == {*PUBLIC} | (found & PRIVATE)


# Their names are those of `polyvae.analysis`.
PRIVATE = {
    "polyvae.analysis.free_energy",
    "polyvae.analysis.kinetics",
    "polyvae.analysis.optimization",
    "polyvae.analysis.scoring",
}


def test_job_scripts_are_shell():
    scripts = re.findall(r"```bash\n(.*?)```", (DOCS / "howto" / "cluster.md").read_text("utf-8"), re.DOTALL)
    assert scripts
    shell = shutil.which("bash") or pytest.skip("no bash here")
    for script in scripts:
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in DOCS.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if not (page.parent / link).exists():
                broken.append(f"{page.relative_to(DOCS)}: {link}")
    assert broken == []


def test_formulas_brace_what_stands_in_a_fraction():
    # The translation to MathML takes the 12 of a bare one half for a single number.
    files = [*DOCS.rglob("*.md"), *(ROOT / "polyvae").rglob("*.py")]
    bare = [
        f"{file.relative_to(ROOT)}: {match}"
        for file in files
        for match in re.findall(r"\\[td]?frac\d\d", file.read_text("utf-8"))
    ]
    assert bare == []
