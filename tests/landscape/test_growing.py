"""`escape` over seeds in groups."""

import pytest
import torch

from pytest_initcheck import InitcheckError, Sequential, escape
from pytest_initcheck.landscape.growing import escape_until
from pytest_initcheck.serialization import encode

ARGUMENTS = (lambda w: (w**3).sum(), 4.0, lambda p: torch.optim.SGD(p, lr=0.01), 10)
OPTIONS = {"noise": 1.0, "reached": lambda w: w < 3.0}


@pytest.mark.parametrize("last", [2, 4, 8])
def test_groups_walk_as_one_walk_does(last):
    found = escape_until(
        lambda record: len(record.seeds) == last, *ARGUMENTS, seeds=Sequential(8, 2), **OPTIONS
    )
    whole = escape(*ARGUMENTS, seeds=last, **OPTIONS)
    assert encode(found.run_record()) == encode(whole.run_record())
    assert found.escaped == whole.escaped
    assert torch.equal(found.eigenvalues, whole.eigenvalues)


def test_without_a_question_a_number_is_asked_for():
    with pytest.raises(InitcheckError, match="pass whole numbers"):
        escape(*ARGUMENTS, seeds=Sequential())
