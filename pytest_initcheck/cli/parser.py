"""What can be typed, and which function runs it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from typing import NoReturn

from pytest_initcheck import __version__
from pytest_initcheck.cli.check_options import (
    EXAMPLES,
    NEW_EXAMPLES,
    add_data,
    add_judging,
    add_new,
    add_target,
    add_training,
)
from pytest_initcheck.cli.scaling_options import EXAMPLES as SCALING_EXAMPLES
from pytest_initcheck.cli.scaling_options import add_scaling
from pytest_initcheck.cli.values import count, several, share_argument

FAULTS = (
    *("zero", "constant", "x10", "dead-bias", "detached", "copied", "frozen"),
    *("unscaled-residual", "wrong-fan", "nan"),
)
_EXIT = "exit status: 0 fine, 1 something was found, 2 wrong use or an error"
_BASELINES = """\
The folder of the baselines is that of pytest: --initcheck-baselines, the ini name
initcheck_baselines, or "baselines" below the rootdir.

"""
_REPORT = """\
examples:
  initcheck report report/run.json
  initcheck report main/run.json branch/run.json -o branch-against-main.html
  initcheck report cpu.zip cuda.zip

"""
_RULES = """\
examples:
  initcheck rules
  initcheck rules IC201
  initcheck rules --json

"""
_MUTATE = """\
examples:
  initcheck mutate tests/test_start.py
  initcheck mutate tests --fault zero --fault nan --jobs 2
  initcheck mutate -- tests -k model -m "not slow"

Every fault is one run of the tests, in a process of its own. What comes after -- goes to pytest.

"""
_REGENERATE = """\
usage: initcheck baselines regenerate [--baselines DIR] [pytest arguments ...]

Run pytest with --initcheck-update: the tests that pass write what is new or has changed. Every
argument is handed to pytest (paths, -k, -m, -n, --rootdir, ...); without any, pytest takes the
project's testpaths. Returns the exit status of pytest.
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and leave with status 2."""
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """The arguments; ``command`` holds the function to call with them."""
    words = [word for word in argv[:2] if not word.startswith("-")]
    if words == ["baselines", "regenerate"]:
        return _regenerate(argv[2:])
    if words[:1] == ["mutate"] and "--" in argv:
        # argparse takes no more words once options stood between them.
        at = argv.index("--")
        arguments = build_parser().parse_args(argv[:at])
        arguments.pytest += argv[at + 1 :]
        return arguments
    return build_parser().parse_args(argv)


def _regenerate(argv: list[str]) -> argparse.Namespace:
    # The arguments are pytest's, in their order: argparse would sort options from paths.
    if any(word in ("-h", "--help") for word in argv):
        print(_REGENERATE, end="")
        sys.exit(0)
    own = Parser(prog="initcheck baselines regenerate", add_help=False, allow_abbrev=False)
    own.add_argument("--baselines", metavar="DIR")
    mine: list[str] = []
    if "--baselines" in argv:
        at = argv.index("--baselines")
        mine, argv = argv[at : at + 2], argv[:at] + argv[at + 2 :]
    mine += [word for word in argv if word.startswith("--baselines=")]
    arguments = own.parse_args(mine)
    arguments.pytest = [word for word in argv if not word.startswith("--baselines=")]
    arguments.command = _lazy("baselines", "regenerate")
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(
        prog="initcheck",
        description="Diagnose how a PyTorch model starts, and look after the stored baselines.",
        epilog=_EXIT,
    )
    parser.add_argument("--version", action="version", version=f"pytest-initcheck {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check(commands)
    _add_new(commands)
    _add_baselines(commands)
    _add_report(commands)
    _add_history(commands)
    _add_mutate(commands)
    _add_rules(commands)
    _add_scaling(commands)
    return parser


Commands = argparse._SubParsersAction


def _add(commands: Commands[Parser], name: str, about: str, epilog: str = "") -> Parser:
    return commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=epilog + _EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_check(commands: Commands[Parser]) -> None:
    parser = _add(commands, "check", "diagnose a model without a test file", EXAMPLES)
    add_target(parser)
    add_data(parser)
    add_training(parser)
    add_judging(parser)
    parser.set_defaults(command=_lazy("check", "check"))


def _add_new(commands: Commands[Parser]) -> None:
    about = "write the first test file of a model, and run it"
    parser = _add(commands, "new", about, NEW_EXAMPLES)
    add_target(parser)
    add_data(parser)
    add_new(parser)
    parser.set_defaults(command=_lazy("new", "new"))


def _add_baselines(commands: Commands[Parser]) -> None:
    about = "write, compare, measure, list and prune the stored baselines"
    parser = _add(commands, "baselines", about, _BASELINES)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(actions, "regenerate", "run the tests and write their baselines anew")
    diff = _add(actions, "diff", "compare a stored run with the baselines, or with another run")
    _add_diff(diff)
    accept = _add(actions, "accept", "make the records of stored runs the baselines")
    _add_accept(accept)
    listing = _add(actions, "list", "list what is stored")
    noise = _add(actions, "noise", "run a test again and again, and measure how its numbers vary")
    _add_noise(noise)
    show = _add(actions, "show", "print what is stored for a test")
    show.add_argument("test", metavar="TEST", help="the test's id")
    show.add_argument("entry", nargs="?", metavar="ENTRY", help="one entry of it (default: all)")
    prune = _add(actions, "prune", "delete the baselines of tests that do not exist any more")
    _add_prune(prune)
    resolve = _add(actions, "resolve", "take one side of a merge conflict in a file")
    resolve.add_argument("file", metavar="FILE", help="the file of baselines")
    sides = resolve.add_mutually_exclusive_group(required=True)
    for side in ("ours", "theirs"):
        about = f"keep what git calls {side}"
        sides.add_argument(f"--{side}", dest="side", action="store_const", const=side, help=about)
    for action, module, name in (
        (diff, "diff", "diff"),
        (accept, "accept", "accept"),
        (listing, "baselines", "listing"),
        (show, "baselines", "show"),
        (prune, "prune", "prune"),
        (resolve, "resolve", "resolve"),
    ):
        action.add_argument("--baselines", metavar="DIR", help="folder of the baselines")
        action.add_argument("--rootdir", metavar="DIR", help="pytest's rootdir")
        if action is not resolve:
            action.add_argument("--json", action="store_true", help="print the result as JSON")
        action.set_defaults(command=_lazy(module, name))


def _add_diff(parser: Parser) -> None:
    parser.add_argument(
        "run",
        nargs="*",
        metavar="RUN",
        help="run.json, a folder with some, or a zip from CI (default: that of the last session); "
        "of two, the second is held against the first, in place of the baselines",
    )


def _add_accept(parser: Parser) -> None:
    parser.add_argument(
        "run",
        nargs="*",
        metavar="RUN",
        help="run.json, a folder with some, a zip as CI stores it, or several of them, merged "
        "(default: that of the last session); nothing is run again",
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="only tests whose id contains PATTERN or matches it as a glob",
    )
    parser.add_argument(
        "--yes", action="store_true", help="do not ask (without a terminal, nothing is asked)"
    )
    parser.add_argument(
        "--allow-unhealthy",
        metavar="REASON",
        help="also store starts that are not healthy, with this reason",
    )


def _add_noise(parser: Parser) -> None:
    parser.add_argument("test", metavar="TEST", help="the test's id, or what else pytest takes")
    parser.add_argument(
        "--seeds",
        type=several,
        default=5,
        metavar="N",
        help="how many runs with one seed, and how many with N of them (default: %(default)s)",
    )
    parser.add_argument("--rootdir", metavar="DIR", help="pytest's rootdir")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=_lazy("noise", "noise"))


def _add_prune(parser: Parser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument(
        "--variants",
        action="store_true",
        help="also those of parameters that are not collected here, of a function that is",
    )
    parser.add_argument(
        "--environment",
        metavar="WORDS",
        help="instead, the records of these environments: 'cuda', 'cpu torch 2.14', 'torch 2.13'",
    )


def _add_report(commands: Commands[Parser]) -> None:
    about = "write the HTML report of a stored run, or of two side by side"
    parser = _add(commands, "report", about, _REPORT)
    parser.add_argument(
        "run",
        nargs="+",
        metavar="RUN",
        help="run.json as a report stored it, or its folder; of two runs, what differs",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="the HTML file (default: index.html beside the run; of two, side-by-side.html beside "
        "the second)",
    )
    parser.set_defaults(command=_lazy("pages", "report"))


def _add_history(commands: Commands[Parser]) -> None:
    about = "show quantities from run to run, and which of them drift"
    parser = _add(commands, "history", about)
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="run.json, a folder with some, or a zip from CI"
    )
    parser.add_argument(
        "--last",
        type=count,
        metavar="K",
        help="ask for a trend over the last K runs (default: all)",
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="only rows whose 'test entry quantity' contains PATTERN or matches it as a glob",
    )
    parser.add_argument("--all", action="store_true", help="also rows that every run agrees in")
    parser.add_argument("--plot", metavar="PATH", help="draw it into a PNG or SVG")
    parser.add_argument(
        "--page", metavar="PATH", help="write it as an HTML page (a folder gets history.html)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=_lazy("history", "history"))


def _add_mutate(commands: Commands[Parser]) -> None:
    about = "plant start faults into the models of your tests, and see which tests notice"
    parser = _add(commands, "mutate", about, _MUTATE)
    parser.add_argument("pytest", nargs="*", metavar="TEST", help="files, folders or ids of tests")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; several")
    parser.add_argument(
        "--least",
        type=share_argument,
        default=1.0,
        metavar="SHARE",
        help="of the faults, as much has to be noticed, 0 to 1 (default: 1)",
    )
    parser.add_argument(
        "--report",
        metavar="PATH",
        default="off",
        help="where to write the table as an HTML report, run.json beside it (default: off)",
    )
    parser.add_argument(
        "--jobs", type=count, default=1, metavar="N", help="runs at a time (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=_lazy("mutate", "mutate"))


def _add_rules(commands: Commands[Parser]) -> None:
    parser = _add(commands, "rules", "list the rules, or explain some of them", _RULES)
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="explain these in full; IC2* stands for all of IC2…"
    )
    parser.add_argument("--json", action="store_true", help="print all about them as JSON")
    parser.set_defaults(command=_lazy("rules", "print_rules"))


def _add_scaling(commands: Commands[Parser]) -> None:
    about = "measure how a model scales with its width or depth"
    parser = _add(commands, "scaling", about, SCALING_EXAMPLES)
    add_scaling(parser)
    parser.set_defaults(command=_lazy("scaling", "scaling"))


def _lazy(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    # Help and listing must not pay for what only the other commands import.
    def command(arguments: argparse.Namespace) -> int:
        home = importlib.import_module(f"pytest_initcheck.cli.{module}")
        return int(getattr(home, function)(arguments))

    return command
