"""`assert_not_stuck`: what fails, what passes, what it says and records."""

from __future__ import annotations

import pytest

OFF = "--initcheck-baselines=off"
REPORT = "--initcheck-report=report/page.html"
HEAD = """
    import pytest
    import torch
    from torch import nn
    from pytest_initcheck import InitcheckError, InitcheckFailure
    from nets import net, batch

    class W(nn.Module):
        def __init__(self, function, start):
            super().__init__()
            self.w, self.function = nn.Parameter(torch.tensor(start)), function

        def forward(self, x):
            return self.function(self.w)

    def own(model, batch):
        return model(batch)

    X = torch.zeros(1)

    def saddle(w):
        return 1 + w[0] ** 2 - w[1] ** 2

    def bowl(w):
        return 1 + w.square().sum()

    def dead():
        model = net()
        nn.init.constant_(model[0].bias, -100.0)
        nn.init.zeros_(model[2].weight)
        return model

"""


def run(models, body, *args):
    lines = [f"        {line}" for line in body.strip().splitlines()]
    models.test(test_a=HEAD + "    def test_it(initcheck):\n" + "\n".join(lines))
    return models.run(*(args or (OFF, REPORT)))


def test_a_saddle_fails_with_its_numbers(models):
    result = run(models, "initcheck.assert_not_stuck(W(saddle, [0.0, 0.0]), X, forward=own)")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E*InitcheckFailure: fail: IC903 critical point, model: -2, allowed at least -*",
            "E*measured  smallest eigenvalue -2",
            "E*cause     training stands still: saddle: loss 1, *",
            "E*fix       momentum, noise*",
            "E*source    *Dauphin*",
            "E*report: *",
        ]
    )
    (entry,) = models.entries().values()
    assert (entry["kind"], entry["verdict"]) == ("critical point", "fail")
    assert entry["findings"][0]["id"] == "IC903"
    assert entry["record"]["metrics"]["smallest eigenvalue"] == pytest.approx([-2])


def test_a_slope_and_a_minimum_pass(models):
    body = """
point = initcheck.assert_not_stuck(net(), batch())
assert point.kind == "slope"
assert initcheck.assert_not_stuck(W(bowl, [0.0, 0.0]), X, forward=own).kind == "minimum"
"""
    assert run(models, body).ret == 0
    found = {name: entry["verdict"] for (_, name), entry in models.entries().items()}
    assert found == {"critical point": "pass", "critical point-2": "pass"}


def test_flat_ground_fails(models):
    body = "initcheck.assert_not_stuck(W(lambda w: 1 + w.sum() ** 3, [0.0]), X, forward=own)"
    result = run(models, body)
    result.stdout.fnmatch_lines(
        ["E*fail: IC903 *: 0, allowed*", "E*largest curvature 0", "E*cause *still: flat: *"]
    )


def test_a_minimum_no_better_than_a_constant_fails(models):
    """A dead network whose last bias has learnt how often each class comes."""
    body = """
model, (x, y) = dead(), batch()
shares = torch.bincount(y, minlength=3) / len(y)
with torch.no_grad():
    model[2].bias.copy_(shares.log())
initcheck.assert_not_stuck(model, (x, y))
"""
    result = run(models, body)
    result.stdout.fnmatch_lines(
        [
            "E*fail: IC903 critical point, model: 1.071, allowed at most 1.07*",
            "E*measured  loss in a minimum 1.071",
            "E*cause *stands still: minimum: *",
            "E*fix       the model ignores its inputs*",
        ]
    )


def test_the_loss_that_is_good_can_be_given(models):
    body = """
flat, bent, low = W(lambda w: 1 + w.sum() ** 3, [0.0]), W(saddle, [0.0, 0.0]), W(bowl, [0.0])
for model in (flat, bent, low):
    initcheck.assert_not_stuck(model, X, forward=own, loss=1.0)
    with pytest.raises(InitcheckFailure, match="IC903"):
        initcheck.assert_not_stuck(model, X, forward=own, loss=0.9)
with pytest.raises(InitcheckError, match="loss is 'low'"):
    initcheck.assert_not_stuck(low, X, forward=own, loss="low")
with pytest.raises(InitcheckError, match="it takes model, batch"):
    initcheck.assert_not_stuck(low, X, optimizer=None)
"""
    assert run(models, body).ret == 0


def test_a_solved_problem_is_not_stuck(models):
    """Logits so large that loss, gradient and curvature have underflowed to 0."""
    body = """
model = nn.Linear(2, 2, bias=False)
with torch.no_grad():
    model.weight.copy_(1e4 * torch.eye(2))
point = initcheck.assert_not_stuck(model, (torch.eye(2), torch.tensor([0, 1])))
assert (point.kind, point.loss) == ("flat", 0)
"""
    assert run(models, body).ret == 0


def test_the_place_is_compared_with_the_baseline(models):
    body = """
initcheck.assert_not_stuck(W(lambda w: 1 + w[0] ** 2 + 2 * w[1] ** 2, [0.0, 0.0]), X, forward=own)
"""
    assert run(models, body, "--initcheck-update").ret == 0
    assert run(models, body, "-q").ret == 0
    sharper = body.replace("2 * w[1]", "3 * w[1]")
    result = run(models, sharper, "-q")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*largest eigenvalue*"])
    result = run(models, body.replace("[0.0, 0.0]", "[1.0, 0.0]"), "-q")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*kind: *"])


def test_what_is_not_finite_is_no_verdict(models):
    result = run(
        models, "initcheck.assert_not_stuck(W(lambda w: w.log().sum(), [0.0]), X, forward=own)"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: the loss is -inf on this batch*diagnose*"])
