"""Help teaches by example: every command's ends with some, and each is a command line that the parser takes."""

import re
import shlex
import subprocess

import pytest

from polyvae.cli import main
from polyvae.cli.completion import completion_script
from polyvae.cli.examples import EXAMPLES
from polyvae.cli.main import VERBS
from polyvae.cli.parsing import parse
from polyvae.cli.verbs import settings_of
from polyvae.errors import MissingDependencyError


def commands_of(text):
    """The command lines among lines of help, those that a backslash continues joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("polyvae ")]


def test_every_example_is_of_a_command():
    assert set(EXAMPLES) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_ends_with_examples_that_can_be_typed(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "run.toml").write_text('trajectories = ["a.xtc"]\n')
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    commands = commands_of(shown.split("\nexamples:\n")[1])
    assert 2 <= len(commands) <= 3
    assert shown.rstrip().endswith(commands[-1].split()[-1])
    kind = settings_of(verb)
    for command in commands:
        program, named, *words = shlex.split(command.split(" > ")[0])
        assert (program, named) == ("polyvae", verb)
        assert isinstance(parse(kind, words, verb=verb), kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


@pytest.mark.parametrize(
    "shell",
    ["bash", pytest.param("zsh", marks=pytest.mark.science), pytest.param("fish", marks=pytest.mark.science)],
)
def test_completion_writes_a_script_that_knows_commands_and_flags(shell, capsys, tmp_path):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert {"minimize-rg", "--latent-dim", "cosine"} <= set(re.findall(r"[\w-]+", script))
    if shell == "bash":
        (tmp_path / "polyvae.bash").write_text(script)
        ask = (
            "source polyvae.bash; COMP_WORDS=(polyvae run --latent-d); COMP_CWORD=2; _tyro_polyvae; "
            'echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["--latent-dim"]


def test_completion_of_another_shell_is_refused(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "tcsh" in capsys.readouterr().err


def test_a_shell_that_the_library_does_not_know_is_named():
    with pytest.raises(
        MissingDependencyError, match="writes no script for elvish; `pip install --upgrade tyro`"
    ):
        completion_script("elvish")
