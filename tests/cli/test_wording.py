"""Messages: flags in place of arguments, nothing that steers a terminal, color only where it may be."""

import os
import pty
import subprocess
import sys

import pytest

from polyvae.cli.main import VERBS
from polyvae.cli.printing import json_text
from polyvae.cli.run import RunCommand
from polyvae.cli.verbs import settings_of
from polyvae.cli.wording import colored, flags_of, in_flags, printable
from polyvae.trajectory.finding import counted

FLAGS = flags_of(RunCommand)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Cut it away with `stop=11`, or write", "Cut it away with `--stop 11`, or write"),
        (
            "no frames are left of 30 with start=30, stop=None.",
            "no frames are left of 30 with --start 30, --stop None.",
        ),
        ('Use whole="auto".', "Use --whole auto."),
        ("the selection atoms='name XX' holds", "the selection --atoms 'name XX' holds"),
        ("give top=... (--top), such as", "give --top, such as"),
        ("or pass `overwrite` (--overwrite) to", "or pass --overwrite to"),
        ("Choose another `output` (-o).", "Choose another `--output` (-o)."),
        ("Choose another path or pass overwrite=True.", "Choose another path or pass --overwrite."),
        ("was written with by top=...", "was written with by --top"),
        ("Train with `layer_norm=False`.", "Train with `--no-layer-norm`."),
        ("`latent_dim`=9 is larger", "`--latent-dim 9` is larger"),
        ("a factor scale=0.1. Then", "a factor --scale 0.1. Then"),
        # Not settings, or not of the command line.
        ("below n_atoms=12; got 15", "below n_atoms=12; got 15"),
        ("load_model(path, network=net)", "load_model(path, network=net)"),
        ("contacts:r0=0.8,stop=6", "contacts:r0=0.8,stop=6"),
    ],
)
def test_arguments_become_flags(text, shown):
    assert in_flags(text, FLAGS) == shown


def test_what_the_user_typed_stays():
    text = "/a/stop=11.xtc holds NaN; cut it away with `stop=3`"
    assert in_flags(text, FLAGS, kept=["run", "/a/stop=11.xtc"]) == (
        "/a/stop=11.xtc holds NaN; cut it away with `--stop 3`"
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_knows_its_flags(verb):
    flags = flags_of(settings_of(verb))
    assert flags["debug"] == "--debug"
    assert not {"model", "trajectories", "reference"} & set(flags) or verb == "fes"


def test_controls_are_shown_and_not_sent():
    assert printable("\x1b[31m\x9b\u202e\ud800 é\nb") == "\\x1b[31m\\x9b\\u202e\\ud800 é\nb"
    assert json_text({"name": "\x1b\x9b\u202eé", "n": float("nan")}) == (
        '{\n "name": "\\u001b\\u009b\\u202eé",\n "n": null\n}'
    )


def test_one_thing_is_not_plural():
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert counted(2, "axis", "axes") == "2 axes"


class Stream:
    def __init__(self, is_terminal):
        self.isatty = lambda: is_terminal


def test_color_only_on_a_terminal_and_never_against_the_users_wish(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colored("error", Stream(True)) == "\x1b[1;31merror\x1b[0m"
    assert colored("error", Stream(False)) == "error"
    monkeypatch.setenv("TERM", "dumb")
    assert colored("error", Stream(True)) == "error"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert colored("error", Stream(True)) == "error"


@pytest.mark.parametrize(("wish", "has_color"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_whole_command_on_a_terminal(wish, has_color):
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"TERM": "xterm"} | wish
    words = [sys.executable, "-m", "polyvae", "fly"]
    done = subprocess.run(words, stdout=theirs, stderr=theirs, env=environment, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 2
    assert "there is no command" in shown
    assert ("\x1b[1;31m" in shown) is has_color
