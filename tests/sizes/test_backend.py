"""Sizes and seeds on another engine: in any order, with the numbers of this process."""

from __future__ import annotations

import pytest
import torch
from support.engines import shuffled  # noqa: F401 - a fixture
from torch import nn

from pytest_initcheck import InitcheckError, scaling

DATA = torch.randn(16, 2, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3


def net(width):
    return nn.Sequential(nn.Linear(2, width), nn.Dropout(0.5), nn.ReLU(), nn.Linear(width, 3))


def test_the_numbers_are_those_of_this_process(shuffled):  # noqa: F811
    here = scaling(net, (4, 8, 16), DATA, steps=2, seeds=2)
    assert not shuffled.began
    there = scaling(net, (4, 8, 16), DATA, steps=2, seeds=2, backend="dask")
    assert shuffled.began
    assert (there.values, there.losses, there.shapes) == (here.values, here.losses, here.shapes)


def test_an_error_names_size_and_seed(shuffled):  # noqa: F811
    def broken(width):
        if width == 8:
            raise RuntimeError("no such width")
        return net(width)

    with pytest.raises(InitcheckError, match=r"at size 8, seed 0: .*no such width"):
        scaling(broken, (4, 8), DATA, backend="ray")


def test_a_tests_backend_is_that_of_the_session(models, shuffled):  # noqa: F811
    models.test(
        test_a="""
        import torch
        from torch import nn
        def net(width):
            return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))
        def test_widths(initcheck):
            initcheck.assert_width_stable(net, (4, 8, 16), (torch.ones(4, 6), torch.arange(4) % 3))
        """
    )
    models.run("--initcheck-baselines=off", "--initcheck-backend=loky")
    assert shuffled.began
