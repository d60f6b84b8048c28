"""The vocabulary in which ``benchmarks/rivals.py`` compares causes."""

from __future__ import annotations

from pathlib import Path

import pytest
import rivals_adapters
from corpus import all_cases
from rivals_adapters import OWN, module_of, rivals
from rivals_causes import OF_ID, expected, main_cause, named, unmapped

# Words that belong to pytest-initcheck alone, for which no rival has any.
ALONE = {"squashed twice", "sees the future", "unread targets"}


def test_every_cause_of_the_corpus_has_words():
    lacking = {one for case in all_cases() for one in case.causes} - set(OF_ID)
    assert not lacking, f"benchmarks/rivals_causes.py: OF_ID lacks words for {sorted(lacking)}"


def test_patterns_use_the_words_of_the_ids():
    known = set().union(*OF_ID.values())
    used = set().union(*(causes for one in rivals().values() for _, causes in one.words or ()))
    assert used <= known
    assert not used & ALONE


@pytest.mark.parametrize(
    ("tool", "rule", "text", "cause"),
    [
        ("torchtest2", "batch_independence", "changing sample 0 changed others", "IC805"),
        ("torchtest2", "input_dependency", "inputs[1] has no influence on the output", "IC807"),
        ("torchtest2", "initial_loss", "initial loss 0.01 is suspiciously low", "IC813"),
        ("torchtest2", "optimizer_coverage", "the optimizer holds 4 tensor(s)", "IC809"),
        ("torchtest2", "gradient_flow", "2/4 parameter(s) get no gradient", "IC604"),
        ("pytest-torch", "batch_invariant", "per-sample results differ", "IC805"),
        ("pytest-torch", "overfits_one_batch", "Could not overfit one batch", "IC820"),
        ("pytest-torch", "healthy_run", "18 step(s) did not update the model", "IC810"),
        ("traintools", "batch", "dominant class covers 100.0% of the batch", "IC812"),
    ],
)
def test_rivals_name_the_contract_too(tool, rule, text, cause):
    flags = [[rule, "fail", text]]
    assert named(tool, flags) & expected([cause])
    assert not unmapped(tool, flags)


def test_every_file_of_the_folder_is_a_rival_with_words():
    assert next(iter(rivals())) == OWN
    assert len(rivals()) == 7
    for name, rival in rivals().items():
        assert name == rival.name
        assert rival.commands
        assert (rival.words is None) == (name == OWN)
        assert Path(rivals_adapters.__path__[0], f"{module_of(name)}.py").exists()


def test_own_findings_name_their_ids():
    assert named("pytest-initcheck", [["IC801", "fail", "any"]]) == expected(["IC801"])
    assert main_cause(["IC801", "IC703"]) == "squashed twice"


def test_words_that_no_pattern_knows_are_listed():
    assert unmapped("torchtest2", [["new_check", "warn", "says"]]) == ["new_check: says"]
