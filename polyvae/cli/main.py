"""The entry point: which verb, and what becomes of errors, warnings and signals.

Exit codes: 0 done; 1 training or optimization ended without a result; 2 a mistake on the command line or in the run
file; 3 an input that cannot be used; 4 a file that cannot be written; 130 and 143 interrupted by Ctrl-C and SIGTERM;
141 the reader of the output has gone.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module

from polyvae import __version__
from polyvae.cli.signals import Interrupted, terminable
from polyvae.cli.usage import UsageError
from polyvae.errors import InputError, MissingDependencyError, OutputError, PolyvaeWarning, TrainingError

# The verb, its module in this room, and what it does.
VERBS = {
    "run": (
        "run",
        "train a model on trajectories and answer with everything: latent, marginals, structures, report",
    ),
    "train": ("train", "train a model only"),
    "encode": ("encode", "latent trajectory of frames under a trained model"),
    "generate": ("generate", "new conformations from a trained model"),
    "marginals": ("marginals", "compare the pair distances of an ensemble with those of a reference"),
    "score": ("score", "score an ensemble against a reference, number by number, each with a verdict"),
    "minimize-rg": ("minimize_rg", "the most compact valid conformations that a trained model knows"),
    "fes": ("fes", "free energy along latent coordinates or observables, with errors and basins"),
    "kinetics": ("kinetics", "how slow a model's latent is, beside PCA and TICA, and what it listens to"),
    "optimize": ("optimize", "conformations with the lowest, highest or a wanted value of any observable"),
    "path": ("path", "conformations between two others, along a path in latent space"),
    "loop": ("loop", "simulate along a learned coordinate, learn from all frames, and again (OpenMM)"),
    "export": ("export", "the latent coordinate for simulation engines: PLUMED, Colvars, ONNX, NumPy"),
    "film": ("film", "the latent trajectory beside the moving structure, as GIF or MP4"),
    "report": ("report", "the report of a run folder again, from the files in it"),
    "inspect": ("inspect", "what trajectories hold, and what is wrong with them"),
    "completion": (
        "completion",
        "a script for bash, zsh or fish, so that the tab key completes commands and flags",
    ),
    "demo": ("demo", "the whole of `run` on a polymer that ships with polyvae"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; those of this process where it is None.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        for stream in (sys.stdout, sys.stderr):
            # A terminal that knows no "±" shows an escape, rather than nothing at all.
            getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    with warnings.catch_warnings(), terminable():
        warnings.simplefilter("always", PolyvaeWarning)
        warnings.showwarning = _shows_warnings(words)
        try:
            code = _dispatch(words)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes stdout once more at exit; let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 141
        except Interrupted as interruption:
            from polyvae.cli.wording import printable

            _say(f"polyvae: {printable(str(interruption))}")
            code = interruption.code
        except KeyboardInterrupt:
            _say("polyvae: interrupted")
            code = 130
        except (InputError, MissingDependencyError, TrainingError, OSError) as error:
            if "--debug" in words:
                traceback.print_exc()
            _say_kind("error", _words_of(error), words)
            code = _code(error)
        except SystemExit as request:
            code = request.code if isinstance(request.code, int) else int(request.code is not None)
    return code


def _code(error: Exception) -> int:
    if isinstance(error, TrainingError):
        return 1
    if isinstance(error, UsageError | MissingDependencyError):
        return 2
    return 4 if isinstance(error, OutputError | OSError) else 3


def _words_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"polyvae {__version__}")
        return 0
    for word in words:
        if not word.isascii():
            _check_unicode(word)
    verb, *rest = words
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, n=1)
        advice = f"Did you mean {near[0]!r}?" if near else f"The commands are {', '.join(VERBS)}."
        raise UsageError(f"there is no command {verb!r}. {advice} See `polyvae --help`.")
    return import_module(f"polyvae.cli.{VERBS[verb][0]}").command(rest)


def _check_unicode(word: str) -> None:
    """Raise for a file name that is no text: no JSON, TOML or HTML can name it."""
    try:
        word.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{word}: the name is not valid UTF-8. Rename the file, or link to it.") from error


def _help() -> str:
    width = max(map(len, VERBS))
    return "\n".join(
        [
            "usage: polyvae COMMAND ...",
            "",
            "Variational autoencoders for molecular-dynamics trajectories.",
            "",
            *(f"  {verb:<{width}}  {words}" for verb, (_, words) in VERBS.items()),
            "",
            "`polyvae COMMAND --help` explains a command; `polyvae --version` names the version.",
        ]
    )


def _shows_warnings(words: list[str]) -> Callable[..., None]:
    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if issubclass(category, PolyvaeWarning):
            _say_kind("warning", str(message), words)
        else:
            _say(warnings.formatwarning(message, category, filename, lineno, line).rstrip())

    return show


def _say_kind(kind: str, text: str, words: list[str]) -> None:
    """An error or warning on one line, which names flags as they are typed."""
    # Loaded for a message only, so that help is quick.
    from polyvae.cli.wording import colored, in_flags, one_line

    flags = _flags(words[0]) if words and words[0] in VERBS else {}
    text = in_flags(text, flags, kept=words) if flags else text
    _say(f"polyvae: {colored(kind, sys.stderr)}: {one_line(text, kept=words)}")


def _flags(verb: str) -> dict[str, str]:
    """The flags of a verb, and those of `run` for what a message says of models and training."""
    from polyvae.cli.verbs import settings_of
    from polyvae.cli.wording import flags_of

    try:
        return flags_of(settings_of("run")) | flags_of(settings_of(verb))
    except ImportError:
        # The message itself says what is not installed.
        return {}


def _say(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        return
