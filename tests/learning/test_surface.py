"""What ``learns`` takes, refuses, says and records, and what a thorough diagnosis makes of it."""

from __future__ import annotations

import json
import math

import pytest
import torch
from corpus.case import Start
from support import learning as programs
from support.told import Told
from torch import nn

import pytest_initcheck
from pytest_initcheck import InitcheckError, Learning, diagnose, learns
from pytest_initcheck.checks import Rule, judge
from pytest_initcheck.checks.fits_batch import Fit
from pytest_initcheck.records import RunRecord
from pytest_initcheck.serialization import decode, encode


def asked(program, **more):
    torch.manual_seed(0)
    model, batch, options = program()
    return learns(model, batch, **options, **more)


def diagnosed(program, **more):
    torch.manual_seed(0)
    return diagnosis_of(*program(), **more)


def diagnosis_of(model, batch, options, **more):
    return Start(model, batch, {"thorough": True, **options, **more}).diagnosis()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_fn": 3}, "loss_fn is a int"),
        ({"optimizer": 3}, "optimizer is a int"),
        ({"optimizer": lambda p: 3}, "returned a int"),
        ({"loss_fn": nn.MSELoss(), "forward": lambda m, b: 0}, "both passed"),
        ({"device": "no"}, "device 'no'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InitcheckError, match=message):
        learns(nn.Linear(20, 5), programs.noise(), **options)


def test_wrong_models_and_batches():
    with pytest.raises(InitcheckError, match="cannot be called without arguments"):
        learns(nn.Linear, programs.noise())
    with pytest.raises(InitcheckError, match="the batch is empty"):
        learns(nn.Linear(20, 5), programs.noise(0))
    with pytest.raises(InitcheckError, match="the model's forward raised"):
        learns(nn.Linear(3, 5), programs.noise())


def test_its_line_says_what_was_reached_and_what_can_be():
    found = asked(programs.classifier)
    assert str(found).startswith(f"learns: loss {found.loss:.4g} by Adam, lr 0.003, ")
    assert "at the start 2.238; best constant prediction 1.609; lowest possible 0" in str(found)
    assert found.steps == sum(trial.steps for trial in found.trials)
    assert found.loss <= found.constant / 2


def test_the_optimiser_that_was_passed_comes_first_and_once():
    found = asked(programs.small_rate_of_descent)
    names = [trial.optimizer for trial in found.trials]
    assert names[0] == "SGD, lr 0.001"
    assert [trial.is_own for trial in found.trials] == [True, False]
    own = asked(programs.classifier, optimizer=programs.adam(3e-3))
    assert [trial.optimizer for trial in own.trials] == ["Adam, lr 0.003"]


def test_rates_of_groups_are_named():
    made = lambda p: torch.optim.SGD([{"params": p[:2], "lr": 0.5}, {"params": p[2:]}], 0.1)  # noqa: E731
    found = asked(programs.classifier, optimizer=made)
    assert found.own.optimizer == "SGD, lr 0.1 and 0.5"


def test_a_lazy_model_takes_its_shapes_from_the_batch():
    torch.manual_seed(0)
    net = nn.Sequential(nn.LazyLinear(64), nn.ReLU(), nn.LazyLinear(5))
    assert learns(net, programs.blobs()).outcome == "learns"
    assert isinstance(net[0], nn.LazyLinear)


def test_a_model_in_half_precision():
    torch.manual_seed(0)
    x, y = programs.blobs()
    assert learns(programs.mlp(20, 64, 5).bfloat16(), (x.bfloat16(), y)).verdict == "pass"


def test_its_record_keeps_the_bounds_and_shows_the_curves():
    found = asked(programs.classifier)
    record = found.run_record()
    assert record.curves == {}
    assert record.shown == {"loss, Adam, lr 0.003": (found.trials[0].losses,)}
    assert record.metrics["outcome: learns"] == (1.0,)
    assert record.metrics["constant prediction"] == (found.constant,)
    text = json.dumps(encode(record), allow_nan=False)
    assert decode(RunRecord, json.loads(text)) == record


def test_what_is_not_finite_can_be_told_and_stored():
    found = asked(programs.not_a_number)
    assert math.isinf(found.loss)
    assert "the loss is not finite" in str(found)
    json.dumps(encode(found.run_record()), allow_nan=False)
    assert json.dumps(encode(Fit().judge(found)[0]), allow_nan=False)


def test_a_fault_that_no_rule_knows_is_found_by_a_thorough_diagnosis():
    plain = diagnosed(programs.place_alone, thorough=False)
    assert plain.learning is None
    found = diagnosed(programs.place_alone)
    assert found.verdict == "fail"
    told = [str(f) for f in found.findings] + [c for f in found.findings for c in f.consequences]
    assert any("IC820" in line and "the input does not matter" in line for line in told)


def test_the_diagnosis_tells_of_a_model_that_learns():
    found = diagnosed(programs.classifier)
    assert found.verdict == "pass"
    assert str(found).splitlines()[-1] == f"fit: {found.learning}"
    assert found.run_record().shown == found.learning.shown


def test_a_remedy_is_tried_as_thoroughly():
    torch.manual_seed(0)
    model, batch = programs.mlp(20, 64, 5), programs.blobs()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    found = diagnose(model, batch, thorough=True)
    assert found.learning.outcome == "fails"
    assert found.try_remedy().learning.outcome == "learns"


def test_where_another_error_explains_it_it_hangs_under_that():
    found = diagnosed(programs.dead)
    assert [f.id for f in found.findings] == ["IC301"]
    assert any("IC820" in line for line in found.findings[0].consequences)


def test_an_optimiser_that_does_not_fit_is_a_warning():
    found = diagnosed(programs.climbing_optimiser)
    lines = [str(f) for f in found.findings] + [c for f in found.findings for c in f.consequences]
    (line,) = [line for line in lines if " IC820 " in line]
    assert line.startswith("warning IC820 fit: model: lowest loss in 30 steps of Adam, lr 0.01")
    assert "diverges with the optimiser that was passed, where Adam, lr 0.003 gets to" in line


class Warned:
    """A check that warns of things in their order, of which IC820 follows."""

    name = "warned"

    def __init__(self, *severities):
        self.severities = severities
        names = [f"W{i}" for i in range(len(severities))]
        self.rules = tuple(
            Rule(id=n, title=n, cause="", limit="", reference="", severities=("error", "warning"))
            for n in names
        )

    def run(self, evidence):
        for rule, severity in zip(self.rules, self.severities, strict=True):
            yield rule.found(self.name, severity, [], "noise", remedy="none")


class Failed(Fit):
    """A model that does not fit its batch."""

    def run(self, evidence):
        yield from self.judge(Learning(outcome="fails", reason="why", first=2.0, loss=1.9))


def judged(*severities):
    warned = Warned(*severities)
    left = judge(None, [warned, Failed([warned])])
    return {f.id: (f.severity, [line.split()[1] for line in f.consequences]) for f in left}


def test_a_warning_that_explains_it_is_raised_to_an_error():
    assert judged("warning") == {"W0": ("error", ["IC820"])}
    assert judged("warning", "warning") == {
        "W0": ("error", ["IC820"]),
        "W1": ("warning", []),
    }


def test_an_error_that_explains_it_leaves_the_warnings_what_they_are():
    assert judged("warning", "error") == {"W1": ("error", ["IC820"]), "W0": ("warning", [])}


def test_an_info_explains_nothing():
    assert judged("info") == {"IC820": ("error", []), "W0": ("info", [])}


def test_other_rules_raise_nothing():
    left = judge(None, [Told(("A1", "warning", ()), ("B1", "error", ("A1",)))])
    assert {f.id: f.severity for f in left} == {"A1": "warning", "B1": "error"}


def test_every_rule_that_can_be_at_fault_explains_it():
    known = {rule.id: rule for rule in pytest_initcheck.checks.rules()}
    follows = known["IC820"].follows
    assert {"IC101", "IC201", "IC301", "IC401", "IC501", "IC601", "IC701"} <= follows
    assert "IC820" not in follows


def test_every_step_moves_the_bar(monkeypatch):
    from pytest_initcheck.training import progress

    seen = []

    class Shown:
        def __init__(self, **options):
            seen.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, done):
            seen.append(done)

    monkeypatch.setattr(progress, "_tqdm", lambda: Shown)
    monkeypatch.setattr(progress, "wanted", lambda given: True)
    found = asked(programs.classifier)
    options, *steps = seen
    assert (options["unit"], options["delay"], options["total"]) == ("step", progress.DELAY, 300)
    assert sum(steps) == found.steps


HEAD = """
    import torch
    from torch import nn
    from nets import net
    from pytest_initcheck import InitcheckFailure

    def batch():
        torch.manual_seed(0)
        y = torch.arange(64) % 3
        return torch.randn(64, 6) + 3 * torch.randn(3, 6)[y], y

    def dead():
        model = net()
        nn.init.constant_(model[0].bias, -100.0)
        return model

"""


def run(models, body, *args):
    models.test(test_a=HEAD + "    def test_it(initcheck):\n        " + body)
    return models.run("--initcheck-report=report/page.html", *args)


OFF = "--initcheck-baselines=off"


def test_assert_learns_passes_what_learns(models):
    body = "assert initcheck.assert_learns(net(), batch()).outcome == 'learns'"
    assert run(models, body, OFF).ret == 0
    ((key, entry),) = models.entries().items()
    assert (key[1], entry["kind"], entry["verdict"]) == ("learns", "learning", "pass")


def test_assert_learns_fails_what_does_not(models):
    result = run(models, "initcheck.assert_learns(dead(), batch())", OFF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E*InitcheckFailure: fail: IC820 fit, model: *",
            "E*measured  lowest loss in * steps*",
            "E*cause     it does not fit its own batch: *",
            "E*fix       check that the output depends on the input*",
        ]
    )
    ((_, entry),) = models.entries().items()
    assert entry["verdict"] == "fail"


def test_assert_learns_passes_what_is_undecided_and_says_why(models):
    body = "assert initcheck.assert_learns(net(), (batch()[0], torch.ones(64).long()))"
    assert run(models, body, OFF).ret == 0
    ((_, entry),) = models.entries().items()
    assert "as good as any" in entry["record"]["meta"]["reason"]


def test_its_baseline_holds_the_outcome_and_not_the_curves(models):
    learns_by = "initcheck.assert_learns(net(), batch(), None, lambda p: torch.optim.SGD(p, {}))"
    assert run(models, learns_by.format(0.1), "--initcheck-update").ret == 0
    assert run(models, learns_by.format(0.2)).ret == 0
    (stored,) = (models.path / "baselines").glob("*.json")
    assert "Adam" not in stored.read_text()
    assert "outcome: learns" in stored.read_text()


def test_bad_input_is_one_clear_error(models):
    result = run(models, "initcheck.assert_learns([net()], batch())", OFF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: model is a list, not an nn.Module*"])
