"""What is asked of the loss: what it cannot answer is not told, what we do wrong is."""

import pytest
import torch
from support.starts import labelled, mlp
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.capture.program import Program
from pytest_initcheck.diagnosis import first_pass
from pytest_initcheck.objective.tail import NotPlayed, record_tail


@pytest.mark.parametrize("kind", [RuntimeError, NotImplementedError])
def test_a_fault_of_our_own_is_not_taken_for_a_loss_that_cannot_be_asked(monkeypatch, kind):
    def fails(program, tail):
        raise kind("a slip")

    monkeypatch.setattr(first_pass, "facts_in", fails)
    with pytest.raises(kind, match="a slip"):
        diagnose(mlp(nn.ReLU, 20, 32, 3), labelled())


class Complex(nn.Module):
    """Complex weights, and real scores."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(20, 32, dtype=torch.complex64)
        self.last = nn.Linear(32, 3, dtype=torch.complex64)

    def forward(self, x):
        return self.last(self.first(x.to(torch.complex64)).tanh()).abs()


class Sparse(nn.Module):
    """A first layer that is fed sparse rows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(20, 32), nn.Linear(32, 3)

    def forward(self, x):
        return self.last(torch.sparse.mm(x, self.first.weight.t()).relu())


def rows(sparse):
    inputs, labels = labelled()
    return (inputs.relu().to_sparse() if sparse else inputs), labels


@pytest.mark.filterwarnings("ignore:Casting complex values:UserWarning")
@pytest.mark.parametrize("build", [Complex, Sparse])
def test_a_loss_that_cannot_be_asked_about_such_tensors_is_no_fault(build):
    assert diagnose(build(), rows(build is Sparse)).verdict in ("pass", "warn")


def test_a_loss_that_refuses_other_values_is_no_fault(monkeypatch):
    def asked(program, tail):
        return tail.at(tail.start, [tensor + 2 for tensor in tail.output_start])

    inputs, labels = labelled(kinds=2)
    model = mlp(nn.ReLU, 20, 32, 1, last=[nn.Sigmoid()])
    batch = inputs, labels[:, None].float()
    bce = nn.functional.binary_cross_entropy
    program = Program(model, batch, bce)
    tail = record_tail(program)
    with pytest.raises(NotPlayed, match="binary_cross_entropy refuses other values"):
        asked(program, tail)
    monkeypatch.setattr(first_pass, "facts_in", asked)
    assert diagnose(model, batch, bce).verdict == "pass"
