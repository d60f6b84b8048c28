"""The options of ``initcheck scaling``."""

from __future__ import annotations

import argparse

from pytest_initcheck.cli.check_options import OPTIMIZERS, Once, add_data, add_target
from pytest_initcheck.cli.values import count, rate_argument
from pytest_initcheck.session.settings import DEVICES

EXAMPLES = """\
examples:
  initcheck scaling package.models:make_mlp --sizes 64,128,256,512
  initcheck scaling models.py:make_gpt --sizes 64,128,256 --parametrization mup \\
      --optimizer models.py:mup_adam --input 8,32:int64 --vocab 100
  initcheck scaling models.py:make_resnet --sizes 2,4,8,16 --depth

"""


def add_scaling(parser: argparse.ArgumentParser) -> None:
    """All of them."""
    add_target(parser)
    add_data(parser)
    _add_sizes(parser)
    _add_steps(parser)
    parser.add_argument(
        "--report", metavar="PATH", default="", help="also write the HTML report there"
    )
    parser.add_argument("--plot", metavar="PATH", default="", help="draw it into a PNG or SVG")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(dtype="float32")


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sizes",
        type=sizes_argument,
        required=True,
        metavar="N,N,...",
        help="the sizes, the first argument of the callable",
    )
    parser.add_argument("--seeds", type=count, default=3, metavar="N", help="(default: 3)")
    parser.add_argument(
        "--parametrization",
        choices=("standard", "mup", "ntk", "none"),
        default="standard",
        help="what the exponents have to agree with (default: %(default)s)",
    )
    parser.add_argument(
        "--depth",
        action="store_true",
        help="the sizes are depths; with --parametrization mup one rate has to serve all of them",
    )


def _add_steps(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("steps")
    group.add_argument(
        "--loss",
        default="",
        metavar="LOSS",
        help="a loss of torch, or MODULE:NAME (default: "
        "the model's own, cross_entropy for classes, mse for regression)",
    )
    group.add_argument(
        "--forward", default="", metavar="TARGET", help="MODULE:NAME of (model, batch)"
    )
    group.add_argument(
        "--optimizer",
        default="sgd",
        metavar="NAME",
        help=f"{', '.join(OPTIMIZERS)}, or MODULE:NAME of the parameters, or of the model where "
        "its argument is called model (default: %(default)s)",
    )
    group.add_argument("--lr", type=rate_argument, action=Once, metavar="X", help="learning rate")
    group.add_argument("--steps", type=count, default=3, metavar="N", help="(default: 3)")
    group.add_argument("--device", choices=DEVICES, default="cpu", help="(default: %(default)s)")


def sizes_argument(text: str) -> tuple[int, ...]:
    """ "64,128,256" as whole numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        wanted = f"{text!r} is not whole numbers such as 64,128,256"
        raise argparse.ArgumentTypeError(wanted) from None
