"""The options of ``initcheck check``, and of what else names a model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pytest_initcheck.cli.values import count, rate_argument, whole
from pytest_initcheck.session.settings import DEVICES
from pytest_initcheck.subjects.spec import Asked, InputSpec, input_spec

DTYPES = ("float32", "float64", "bfloat16", "float16")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "adafactor")
DEFAULT_REPORT = "initcheck-report/index.html"
EXAMPLES = """\
examples:
  initcheck check package.models:make_resnet
  initcheck check models.py:Tagger --input ids=8,32:int64 --vocab 1000 --classes 12
  initcheck check timm:create_model --args vit_tiny_patch16_224 num_classes=10
  initcheck check torchvision:resnet18 --args num_classes=10 --optimizer adamw
  initcheck check hf:bert --args num_hidden_layers=2 --input input_ids=8,16:int64
  initcheck check package.models:Net --batch package.data:make_batch --loss package.losses:focal

"""
NEW_EXAMPLES = """\
examples:
  initcheck new package.models:Net
  initcheck new package.models:make_resnet --args 18 --file tests/test_resnet.py

"""


class Once(argparse.Action):
    """Takes a value once; a second one is refused, where else it would silently win."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        given = vars(namespace).setdefault("_given", set())
        if self.dest in given:
            parser.error(f"argument {option_string}: given twice; give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def add_target(parser: argparse.ArgumentParser) -> None:
    """The model: a module or a file, or a library's by name."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="MODULE:NAME or FILE.py:NAME, an nn.Module or a callable that returns one (the "
        "current folder is on the import path); timm:NAME, torchvision:NAME, hf:NAME, "
        "hub:OWNER/REPO:ENTRY",
    )
    parser.add_argument(
        "--args",
        nargs="+",
        action=Once,
        default=[],
        metavar="VALUE",
        help="arguments of the callable: VALUE by place, NAME=VALUE by name",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """What the model is given."""
    group = parser.add_argument_group(
        "data", "random, the same for the same seed; guessed where nothing is said"
    )
    group.add_argument(
        "--input",
        action="append",
        default=[],
        type=spec_argument,
        metavar="[NAME=]N,...[:TYPE]",
        help="an input, the batch first: 8,3,64,64 or ids=8,32:int64; may be given again",
    )
    group.add_argument(
        "--batch",
        action=Once,
        default="",
        metavar="TARGET",
        help="a function that returns the batch, or a DataLoader, in place of random data",
    )
    _add_kinds(group)
    group.add_argument(
        "--seed", type=whole, action=Once, default=0, metavar="N", help="(default: 0)"
    )


def _add_kinds(group: argparse._ArgumentGroup) -> None:
    """What kinds of numbers inputs and targets are."""
    targets = group.add_mutually_exclusive_group()
    targets.add_argument(
        "--classes",
        type=count,
        action=Once,
        metavar="N",
        help="targets are random labels of N classes",
    )
    targets.add_argument(
        "--regression",
        type=count,
        action=Once,
        metavar="N",
        help="targets are N normal values per sample",
    )
    group.add_argument(
        "--vocab",
        type=count,
        action=Once,
        metavar="N",
        help="inputs are token ids below N (default: normal, or as the model's embeddings say)",
    )


def add_training(parser: argparse.ArgumentParser) -> None:
    """What the steps are taken with."""
    group = parser.add_argument_group("steps")
    group.add_argument(
        "--loss",
        action=Once,
        default="",
        metavar="LOSS",
        help="the name of one of torch's losses, or MODULE:NAME of (output, targets) (default: the "
        "model's own, cross_entropy for classes, mse for regression)",
    )
    group.add_argument(
        "--forward",
        action=Once,
        default="",
        metavar="TARGET",
        help="MODULE:NAME of (model, batch), which returns the loss",
    )
    _add_steps(group)
    group.add_argument(
        "--dtype",
        action=Once,
        choices=DTYPES,
        default="float32",
        help="of the model (default: %(default)s)",
    )
    group.add_argument(
        "--device", action=Once, choices=DEVICES, default="cpu", help="(default: %(default)s)"
    )


def _add_steps(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--optimizer",
        action=Once,
        choices=OPTIMIZERS,
        help="(default: a LightningModule's own, else sgd)",
    )
    group.add_argument(
        "--lr",
        type=rate_argument,
        action=Once,
        metavar="X",
        help="learning rate (default: 0.01 for sgd, else the optimiser's own)",
    )
    group.add_argument(
        "--steps", type=count, action=Once, default=5, metavar="N", help="(default: 5)"
    )


def add_judging(parser: argparse.ArgumentParser) -> None:
    """How it is judged, and where that goes."""
    parser.add_argument(
        "--report",
        metavar="PATH",
        action=Once,
        default=DEFAULT_REPORT,
        help="where to write the HTML report, run.json beside it: a file, a folder, or off "
        "(default: %(default)s)",
    )
    _add_rules(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--histograms",
        action="store_true",
        help="with --json: also everything that was measured, with histograms",
    )


def _add_rules(parser: argparse.ArgumentParser) -> None:
    """Which findings there may be, and which of them count."""
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="TEXT",
        help="a finding that does not count, 'ID [layer pattern]: reason'; may be given again",
    )
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="IDS",
        help="rules that count, as ids or globs, 'IC1* IC201' (default: all); may be given again",
    )
    parser.add_argument("--strict", action="store_true", help="take warnings for errors")
    parser.add_argument(
        "--causal",
        action="store_true",
        default=None,
        help="no output may depend on later positions (default: as a language model's own "
        "configuration says)",
    )
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="also ask whether the model can fit the batch, with at most 300 more steps",
    )


def add_new(parser: argparse.ArgumentParser) -> None:
    """Where the test goes."""
    parser.add_argument(
        "--file",
        metavar="FILE",
        action=Once,
        default="",
        help="the test file (default: test_NAME.py in the folder tests, where there is one)",
    )
    parser.set_defaults(loss="", forward="", dtype="float32", device="cpu")


def spec_argument(text: str) -> InputSpec:
    """An input as it is typed."""
    try:
        return input_spec(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def asked_of(arguments: argparse.Namespace) -> Asked:
    """The model and data that were asked for."""
    return Asked(
        target=arguments.target,
        args=tuple(arguments.args),
        inputs=tuple(arguments.input),
        batch=arguments.batch,
        vocab=arguments.vocab,
        classes=arguments.classes,
        regression=arguments.regression,
        loss=arguments.loss,
        forward=arguments.forward,
        dtype=arguments.dtype,
        device=arguments.device,
        seed=arguments.seed,
    )
