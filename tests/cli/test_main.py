"""The entry point: help is quick, and every failure has its exit code and one line on stderr."""

import subprocess
import sys

import pytest

import polyvae
from polyvae.cli import main
from polyvae.cli.main import VERBS
from polyvae.cli.signals import Interrupted
from polyvae.cli.usage import UsageError
from polyvae.errors import MissingDependencyError, OutputError, PolyvaeWarning, TrainingError


def _python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_and_import_load_neither_jax_nor_matplotlib():
    done = _python(
        "import sys, polyvae, polyvae.__main__\n"
        "code = polyvae.cli.main(['--help'])\n"
        "print(sorted({'jax', 'matplotlib', 'mdtraj', 'numpy'} & set(sys.modules)), code)"
    )
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert done.stderr == ""


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {verb} " in shown for verb in VERBS)
    assert main([]) == 2


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_explains_itself(verb, capsys):
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: polyvae {verb}" in shown
    assert "--debug" in shown


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"polyvae {polyvae.__version__}\n"


def test_python_m_polyvae_is_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "polyvae", "fly"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("polyvae: error: there is no command 'fly'. The commands are run, train")


def test_an_unknown_flag_ends_with_code_2(capsys):
    assert main(["inspect", "x.xtc", "--speed", "9"]) == 2
    assert "--speed" in capsys.readouterr().err


def _failing(monkeypatch, error):
    def command(words):
        raise error

    monkeypatch.setattr("polyvae.cli.inspect.command", command)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (polyvae.InputError("wrong file"), 3, "polyvae: error: wrong file\n"),
        (MissingDependencyError("install gsd"), 2, "polyvae: error: install gsd\n"),
        (OutputError("no room"), 4, "polyvae: error: no room\n"),
        (UsageError("no such word"), 2, "polyvae: error: no such word\n"),
        (OSError("disk is gone"), 4, "polyvae: error: disk is gone\n"),
        (TrainingError("not finite"), 1, "polyvae: error: not finite\n"),
        (KeyboardInterrupt(), 130, "polyvae: interrupted\n"),
        (Interrupted("terminated", 15), 143, "polyvae: terminated\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_each_failure_has_its_exit_code(monkeypatch, capfd, error, code, message):

    _failing(monkeypatch, error)
    assert main(["inspect"]) == code
    assert capfd.readouterr().err == message


def test_debug_shows_the_traceback(monkeypatch, capsys):
    import polyvae.cli.inspect

    _failing(monkeypatch, polyvae.InputError("wrong file"))
    assert main(["inspect", "--debug"]) == 3
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("polyvae: error: wrong file\n")


def test_a_bug_is_not_hidden(monkeypatch):

    _failing(monkeypatch, ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        main(["inspect"])


def test_a_warning_is_one_line(monkeypatch, capsys):
    import polyvae.cli.inspect

    def command(words):
        import warnings

        for _ in range(2):
            warnings.warn("two\n lines", PolyvaeWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(polyvae.cli.inspect, "command", command)
    assert main(["inspect"]) == 0
    assert capsys.readouterr().err == "polyvae: warning: two lines\n" * 2


def test_a_reader_that_goes_away_is_no_error(data):
    # The pipe is closed before anything is written to it.
    line = f"{sys.executable} -m polyvae inspect '{data}' | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() in ("141", "0")
