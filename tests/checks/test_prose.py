"""The numbers in the rules' texts come from the constants that the checks judge by."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_initcheck import checks
from pytest_initcheck.checks import prose
from pytest_initcheck.checks.external_rules import external_rules

SOURCES = sorted(Path(checks.__file__).parent.glob("*.py"))
# What a title says, a reference or a remedy is no limit.
TEXTS = ("cause", "limit", "quantity", "exempt")
WORDS = (
    *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("twenty", "thirty", "forty", "fifty", "hundred", "thousand", "million", "billion", "dozen"),
    *("half", "halves", "quarter", "third", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "twentieth", "thirtieth", "fiftieth", "hundredth", "thousandth", "millionth"),
    *("twice", "thrice", "double", "doubled", "triple", "tripled", "halved", "percent", "per cent"),
)
# A word as such, with a plural, or manifold; a number that is no part of a name, as in float16.
NUMBER = re.compile(
    rf"(?<![\w.])\d(?:[\d.,]*\d)?(?:e[+-]?\d+)?|\b(?:{'|'.join(WORDS)})(?:s|fold)?\b",
    re.IGNORECASE,
)
# The numbers that stay in the texts of a rule: no other could be chosen.
LITERAL = {
    ("IC103", "two"): "weight_norm has a size and a direction",
    ("IC107", "two"): "of one value the mean leaves nothing",
    ("IC108", "1"): "all is dropped",
    ("IC118", "two"): "a pair of ranks",
    ("IC119", "two"): "a pair of ranks",
    ("IC201", "two"): "a pair of units",
    ("IC202", "two"): "a pair of units",
    ("IC203", "two"): "a pair of layers, a tensor under another name",
    ("IC305", "1"): "the formula 1 − Σp²",
    ("IC116", "two"): "a pair of weights",
    ("IC811", "two"): "a pair of results",
    ("IC205", "two"): "a pair of experts",
    ("IC308", "1"): "the formula 1 − Σp²",
    ("IC407", "1"): "the formula √(1/2n)",
    ("IC407", "2"): "the formula √(1/2n)",
    ("IC407", "three"): "two of a kind have no majority",
    ("IC407", "twice"): "more often than the others",
    ("IC408", "1"): "unit scale, which initialisers assume; the inverse of ε",
    ("IC409", "1"): "the formula 1/√fan_in",
    ("IC306", "1"): "what a softmax makes of one value",
    ("IC306", "two"): "a softmax over fewer says nothing",
    ("IC405", "1"): "unit scale, which initialisers assume",
    ("IC601", "1"): "the formula 1/√fan-in",
    ("IC605", "half"): "rounding goes to the nearest",
    ("IC825", "two"): "a pair of axes",
    ("IC703", "twice"): "the square of what the steps leave",
    ("IC602", "0"): "a rate that moves nothing",
    ("IC703", "0"): "the range of α: outputs that say nothing",
    ("IC703", "1"): "the range of α: outputs as they are",
    ("IC704", "doubled"): "the batch beside itself",
    ("IC805", "0"): "the axis of the samples",
    ("IC815", "1"): "a momentum that forgets nothing",
    ("IC821", "0"): "logits that say nothing",
    ("IC821", "1"): "the formula 1 − p",
    ("IC822", "0"): "N(0, 1)",
    ("IC822", "1"): "N(0, 1), and the formula 1/ln N",
    ("IC822", "2"): "the formula 2 c λ",
    ("IC822", "twice"): "the formula 2 c λ",
    ("IC853", "two"): "more than the one group that a parameter belongs in",
    ("IC853", "twice"): "more than the one step for each gradient",
    ("IC856", "1"): "the scale that leaves the loss as it is",
    ("IC856", "2"): "the factor by which GradScaler moves its scale",
    ("IC856", "halved"): "the factor by which GradScaler moves its scale",
    ("IC860", "two"): "a run and its repetition",
    ("IC904", "1"): "a quarter: exponents of width are multiples of a half",
    ("IC904", "4"): "a quarter: exponents of width are multiples of a half",
    ("IC904", "half"): "what lies between two exponents",
}


def literals(source: str) -> Iterator[tuple[str, str]]:
    """The numbers that a module writes into the texts of its rules, each with the rule's id."""
    tree = ast.parse(source)
    named = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Rule":
            given = {each.arg: each.value for each in node.keywords}
            for text in TEXTS:
                if text in given:
                    id = ast.literal_eval(given["id"])
                    yield from ((id, found) for found in written(given[text], named))


def written(node: ast.AST, named: dict[str, ast.expr]) -> Iterator[str]:
    """The numbers in the fixed parts of a text, and those that are formatted without a name.

    Zero and one within an expression are arithmetic: one part of so many, one less.
    """
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield from (found.lower() for found in NUMBER.findall(node.value))
        elif node.value not in (0, 1):
            yield ast.unparse(node)
    elif isinstance(node, ast.Name):
        # A text that has a name of its own; a number that has one is what is wanted.
        text = named.get(node.id)
        if isinstance(text, (ast.JoinedStr, ast.Constant)) and isinstance(
            getattr(text, "value", ""), str
        ):
            yield from written(text, named)
    else:
        for child in ast.iter_child_nodes(node):
            yield from written(child, named)


def rule(**texts):
    given = "".join(f", {name}={text}" for name, text in texts.items())
    return f'LIMIT = 0.25\nSAID = "at most a dozen"\nA = Rule(id="ACME1"{given})\n'


def test_no_text_of_a_rule_states_a_number_that_might_be_another():
    found = {each for path in SOURCES for each in literals(path.read_text(encoding="utf-8"))}
    assert found - LITERAL.keys() == set(), (
        "format it from the constant that decides (checks/prose.py), or say in LITERAL why no "
        "other number could stand there"
    )
    assert LITERAL.keys() - found == set(), "these are in no text any more"


def test_every_rule_is_read():
    calls = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    ids = {rule.id for rule in checks.rules()} | {rule.id for _, rule in external_rules()}
    assert set(re.findall(r'Rule\(\s*id="(IC\d+)"', calls)) == ids


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        ({"limit": '"at most 12 of them"'}, ["12"]),
        ({"limit": '"at most 1e-5 (warning 1/30)"'}, ["1e-5", "1", "30"]),
        ({"limit": '"at most 1,000, or 0.9"'}, ["1,000", "0.9"]),
        ({"quantity": '"at least a Tenth of it"'}, ["tenth"]),
        ({"exempt": '"three quarters of the units"'}, ["three", "quarters"]),
        ({"cause": '"the share grows tenfold"'}, ["tenfold"]),
        ({"limit": 'f"at most {percent(LIMIT)}, " "or half"'}, ["half"]),
        ({"limit": 'f"at most {percent(0.3)}"'}, ["0.3"]),
        ({"limit": '"more " + "than twenty"'}, ["twenty"]),
        ({"limit": "SAID"}, ["dozen"]),
        ({"limit": 'f"{SAID} of them"'}, ["dozen"]),
    ],
)
def test_a_number_that_is_written_out_is_found(texts, numbers):
    assert list(literals(rule(**texts))) == [("ACME1", number) for number in numbers]


@pytest.mark.parametrize(
    "texts",
    [
        {"limit": 'f"at most {percent(LIMIT)}, or {fraction(1 / LIMIT)}"'},
        {"limit": 'f"{LIMIT}"', "exempt": '"as for IC201; float16 and x0"'},
        {"limit": '"none that often is or tends to one"'},
        {"title": '"squashed twice"', "remedy": '"divide by ten"', "reference": '"Efron (1979)"'},
    ],
)
def test_names_and_what_is_no_limit_may_stand(texts):
    assert list(literals(rule(**texts))) == []


@pytest.mark.parametrize(
    ("module", "constant", "id", "before", "after"),
    [
        ("input_scale", "_TARGETS = 100.0", "IC702", "at most 100", "at most 200"),
        ("step_rules", "PULL_WARNING = 1e-3", "IC859", "below 1e-3, where", "below 2e-3, where"),
        ("depth", "_PROFILE = 1e-5", "IC403", "at least 1e-5", "at least 2e-5"),
    ],
)
def test_a_text_changes_with_its_constant(module, constant, id, before, after):
    (path,) = (path for path in SOURCES if path.stem == module)
    source = path.read_text(encoding="utf-8")
    assert source.count(f"\n{constant}\n") == 1
    (limit,) = (rule.limit for rule in checks.rules() if rule.id == id)
    assert before in limit
    doubled = source.replace(f"\n{constant}\n", f"\n{constant} * 2\n")
    changed = {"__name__": f"{module}_doubled"}
    exec(compile(doubled, path, "exec"), changed)
    assert after in next(r.limit for r in rules_in(changed) if r.id == id)


def rules_in(module):
    for value in module.values():
        if isinstance(value, checks.Rule):
            yield value
        elif isinstance(value, type):
            yield from getattr(value, "rules", ())


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (prose.number(300.0), "300"),
        (prose.number(22), "22"),
        (prose.number(1.5), "1.5"),
        (prose.number(0.01), "0.01"),
        (prose.number(1e-5), "1e-5"),
        (prose.number(2e-6), "2e-6"),
        (prose.number(1e4), "1e4"),
        (prose.number(1 / 1e-8), "1e8"),
        (prose.number(-1000), "−1000"),
        (prose.number(-2e-6), "−2e-6"),
        (prose.number(0), "0"),
        (prose.percent(0.1), "10 %"),
        (prose.percent(1 / 3), "33 %"),
        (prose.percent(0.05), "5 %"),
        (prose.percent(1.0), "100 %"),
        (prose.fraction(0.005), "1/200"),
        (prose.fraction(1 / 30), "1/30"),
        (prose.listed((0, 2, -3)), "0, 2 and −3"),
        (prose.listed((1e3, 1e4)), "1000 and 1e4"),
    ],
)
def test_numbers_are_written_as_they_are_read(shown, text):
    assert shown == text
