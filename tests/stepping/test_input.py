"""How a step can be passed to `check_step` and `assert_step`, and what is refused."""

from __future__ import annotations

from functools import partial
from unittest import mock

import pytest
import torch
from support.steps import Net, adam, batch, loss_of, net, plain, sgd
from torch import nn

from pytest_initcheck import InitcheckError, check_step
from pytest_initcheck.checks import rules

MODEL = net()
OPTIMIZER = sgd(MODEL)


def stepped(data):
    return plain(MODEL, OPTIMIZER, data)


class Steps:
    """Every form, as methods."""

    def three(self, model, optimizer, batch):
        return plain(model, optimizer, batch)

    def other_order(self, batch, model, optimizer):
        return plain(model, optimizer, batch)

    def other_names(self, m, o, b):
        return plain(m, o, b)

    def some_names(self, net, opt, b):
        return plain(net, opt, b)

    def two(self, model, batch):
        assert model is MODEL
        return stepped(batch)

    def two_other_names(self, m, b):
        assert m is MODEL
        return stepped(b)

    def one(self, batch):
        return stepped(batch)

    def one_other_name(self, b):
        return stepped(b)

    def lightning(self, batch, batch_idx):
        assert batch_idx in (0, 1, 2)
        return stepped(batch)

    def counted(self, model, optimizer, data, i):
        assert isinstance(i, int)
        return plain(model, optimizer, data)

    def parts(self, model, optimizer, x, y):
        return plain(model, optimizer, (x, y))

    def parts_alone(self, inputs, targets):
        return stepped((inputs, targets))

    def keywords(self, *, model, optimizer, batch):
        return plain(model, optimizer, batch)

    def anything(self, *args):
        return plain(*args)

    def with_defaults(self, model, optimizer, batch, criterion=None, verbose=False):
        assert criterion is None
        assert verbose is False
        return plain(model, optimizer, batch)

    def all_with_defaults(self, model=None, optimizer=None, batch=None):
        return plain(model, optimizer, batch)

    def __call__(self, model, optimizer, batch):
        return plain(model, optimizer, batch)


FORMS = [name for name in vars(Steps) if not name.startswith("_")]


@pytest.mark.parametrize("name", FORMS)
def test_a_step_is_called_as_it_asks(name):
    report = check_step(getattr(Steps(), name), MODEL, OPTIMIZER, batch())
    assert report.findings == []
    assert len(report.losses) == report.calls == 3
    assert report.losses[2] < report.losses[0]


@pytest.mark.parametrize(
    "step",
    [
        Steps(),
        lambda model, optimizer, batch: plain(model, optimizer, batch),
        partial(lambda criterion, model, optimizer, batch: plain(model, optimizer, batch), None),
        mock.Mock(side_effect=plain),
    ],
    ids=["object", "lambda", "partial", "mock"],
)
def test_any_callable_is_a_step(step):
    report = check_step(step, MODEL, OPTIMIZER, batch())
    assert report.findings == []
    assert report.losses


def test_a_scaler_is_passed_where_it_is_asked_for():
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    def step(model, optimizer, batch, scaler=None):
        assert scaler is not None
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    report = check_step(step, MODEL, OPTIMIZER, batch(), scaler=scaler)
    assert report.findings == []
    with pytest.raises(InitcheckError, match="train_step raised AssertionError"):
        check_step(step, MODEL, OPTIMIZER, batch())


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (lambda loss: loss, 3),
        (lambda loss: loss.item(), 3),
        (lambda loss: {"loss": loss, "n": 1}, 3),
        (lambda loss: (loss, "more"), 3),
        (lambda loss: loss.detach().numpy(), 3),
        (lambda loss: mock.Mock(spec=["loss"], loss=loss), 3),
        (lambda loss: None, 0),
        (lambda loss: True, 0),
        (lambda loss: {"n": 1}, 0),
        (lambda loss: [], 0),
        (lambda loss: "done", 0),
        (lambda loss: torch.zeros(3), 0),
    ],
)
def test_the_loss_is_read_from_what_the_step_returns(made, count):
    step = lambda model, optimizer, batch: made(plain(model, optimizer, batch))  # noqa: E731
    report = check_step(step, MODEL, OPTIMIZER, batch())
    assert report.findings == []
    expected = loss_of(MODEL, batch()).item()
    assert report.losses[:1] == (pytest.approx(expected),) * (count > 0)
    assert len(report.losses) == count
    assert report.run_record().curves == ({"loss": (report.losses,)} if count else {})


def test_what_is_recorded():
    model = Net()
    report = check_step(_each, model, [adam(model.body), sgd(model.head)], batch(), steps=4)
    assert report.calls == 4
    assert report.run_record().meta == {
        "model": "Net",
        "optimizer": "Adam, SGD",
        "lr": "0.001, 0.05",
        "device": "cpu",
        "dtype": "float32",
        "calls": "4",
    }


def _each(model, optimizers, batch):
    loss = loss_of(model, batch)
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss


class Manual(nn.Module):
    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.net = net()

    def training_step(self, batch, batch_idx):
        return loss_of(self.net, batch)


def test_manual_optimisation_is_left_alone():
    model = Manual()
    report = check_step(model, model, sgd(model), batch())
    assert [f.id for f in report.findings] == ["IC861"]


def test_automatic_optimisation_without_a_loss_moves_nothing():
    class Silent(Manual):
        automatic_optimization = True

        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)

    model = Silent()
    report = check_step(model.training_step, model, sgd(model), batch())
    assert [f.id for f in report.findings] == ["IC861"]


def nothing(model, optimizer, batch):
    raise AssertionError("must not be called")


GOOD = {"train_step": nothing, "model": MODEL, "optimizer": OPTIMIZER, "batch": batch()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_step": None}, "train_step is a NoneType; pass a function of (model"),
        ({"train_step": 3}, "train_step is a int; pass a function of (model"),
        ({"train_step": MODEL}, "train_step is a module (Sequential) without a training_step"),
        ({"train_step": Steps}, "train_step is the class Steps"),
        ({"train_step": lambda: None}, "train_step takes no argument; pass a function of"),
        (
            {"train_step": lambda model, optimizer, batch, criterion: None},
            "train_step takes 'criterion', and what that is cannot be told",
        ),
        ({"train_step": lambda batch, *, epochs: None}, "train_step takes 'epochs', and"),
        ({"train_step": lambda a, b, c, d, e: None}, "train_step takes 'a', 'b', 'c', 'd', 'e'"),
        ({"train_step": lambda model, net, batch: None}, "train_step takes 'model', 'net', and"),
        ({"model": None}, "model is a NoneType, not an nn.Module"),
        ({"model": net}, "call the factory and pass the model"),
        ({"model": nn.ReLU()}, "the model has no parameters"),
        ({"model": nn.LazyLinear(3)}, "call it once on the batch, then build the optimiser"),
        ({"model": nn.Linear(2, 2, device="meta")}, "meta device"),
        ({"optimizer": None}, "optimizer is None; pass the optimiser itself"),
        ({"optimizer": sgd}, "not a function that builds it"),
        ({"optimizer": torch.optim.SGD}, "optimizer is the class SGD; pass the optimiser itself"),
        ({"optimizer": []}, "optimizer is an empty list"),
        ({"optimizer": [OPTIMIZER, 3]}, "optimizer is a int"),
        ({"optimizer": 0.1}, "optimizer is a float"),
        ({"steps": 1}, "steps is 1; pass a whole number from 2 up"),
        ({"steps": True}, "steps is True"),
        ({"steps": 2.0}, "steps is 2.0"),
        ({"scaler": 3}, "scaler is a int; pass the torch.amp.GradScaler"),
        ({"ignore": "IC851"}, "the ignore of IC851 gives no reason"),
    ],
)
def test_bad_input_is_one_clear_error(change, words):
    given = {**GOOD, **change}
    arguments = [given.pop(name) for name in GOOD]
    with pytest.raises(InitcheckError) as error:
        check_step(*arguments, **given)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda model, optimizer, batch: 1 / 0, "train_step raised ZeroDivisionError: division"),
        (lambda model, optimizer, batch: model(3), "train_step raised TypeError: "),
        (lambda model, optimizer, batch: (yield), "train_step returned a generator, of which"),
    ],
)
def test_a_step_that_fails_is_one_clear_error(step, words):
    with pytest.raises(InitcheckError) as error:
        check_step(step, MODEL, OPTIMIZER, batch())
    assert words in str(error.value)


def test_a_later_call_that_fails_says_so():
    graph = []

    def step(model, optimizer, batch):
        loss = loss_of(model, batch) + (graph[-1] if graph else 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        graph.append(loss)

    with pytest.raises(InitcheckError, match="raised RuntimeError in call 2, after those before"):
        check_step(step, MODEL, OPTIMIZER, batch())


async def later(model, optimizer, batch):
    return plain(model, optimizer, batch)


def test_a_coroutine_is_refused():
    with pytest.raises(InitcheckError, match="returned a coroutine"):
        check_step(later, MODEL, OPTIMIZER, batch())


def test_findings_can_be_ignored():
    def step(model, optimizer, batch):
        model.eval()
        return plain(model, optimizer, batch)

    model = Net()
    report = check_step(step, model, sgd(model), batch(), ignore="IC857: statistics are frozen")
    assert report.verdict == "pass"
    assert [f.ignored for f in report.ignored] == ["statistics are frozen"]
    assert "ignored (statistics are frozen): error IC857 step:" in str(report)
    report = check_step(step, model, sgd(model), batch(), ignore="IC851: why")
    assert {f.id for f in report.findings} == {"IC857", "IC001"}
    assert [str(ignore) for ignore in report.unused_ignores] == ["IC851: why"]


# The fixture

OFF = "--initcheck-baselines=off"
REPORT = "--initcheck-report=report/page.html"
HEAD = """
    import pytest
    import torch
    from torch import nn
    from torch.nn import functional as F
    from nets import net, batch
    from pytest_initcheck import InitcheckError, InitcheckFailure

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    def forgets(model, optimizer, batch):
        F.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()

    def in_eval(model, optimizer, batch):
        model.eval()
        return step(model, optimizer, batch)

    def sgd(model):
        return torch.optim.SGD(model.parameters(), lr=0.1)

"""


def run(models, body, *args, mark=""):
    lines = [f"        {line}" for line in body.strip().splitlines()]
    models.test(test_a=HEAD + f"    {mark}\n    def test_it(initcheck):\n" + "\n".join(lines))
    return models.run(*(args or (OFF, REPORT)))


def test_a_good_step_passes_and_is_recorded(models):
    body = """
model = net()
report = initcheck.assert_step(step, model, sgd(model), batch())
assert report.verdict == "pass"
assert initcheck.assert_step(step, model, sgd(model), batch(), name="mine", steps=5).calls == 5
"""
    assert run(models, body).ret == 0
    entries = {name: entry for (_, name), entry in models.entries().items()}
    assert set(entries) == {"step", "mine"}
    assert entries["step"]["kind"] == "step"
    assert entries["step"]["verdict"] == "pass"
    assert len(entries["mine"]["record"]["curves"]["loss"][0]) == 5


def test_a_fault_fails_with_rule_cause_and_remedy(models):
    result = run(
        models, "model = net()\ninitcheck.assert_step(forgets, model, sgd(model), batch())"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E*InitcheckFailure: fail: IC851 step, layer '0': *, allowed at most 0",
            "E*cause     the gradient that an optimiser has already used is*",
            "E*fix       call optimizer.zero_grad() once in every step*",
            "E*report: *",
        ]
    )
    (entry,) = models.entries().values()
    assert entry["verdict"] == "fail"
    assert [finding["id"] for finding in entry["findings"]] == ["IC851"]


def test_a_warning_passes_and_is_shown(models):
    body = """
model = net()
assert initcheck.assert_step(in_eval, model, sgd(model), batch()).verdict == "warn"
"""
    result = run(models, body)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["warning IC857 step, model: 3, allowed at most 0 (calls in eval mode)*"]
    )
    (entry,) = models.entries().values()
    assert entry["verdict"] == "warn"


def test_ignores_of_call_and_marker_count(models):
    body = """
model = net()
optimizer = sgd(model)
initcheck.assert_step(forgets, model, optimizer, batch(), ignore="IC851: gradients add up")
"""
    assert run(models, body).ret == 0
    mark = '@pytest.mark.initcheck(ignore="IC851: gradients add up")'
    body = "model = net()\ninitcheck.assert_step(forgets, model, sgd(model), batch())"
    assert run(models, body, mark=mark).ret == 0
    assert run(models, body).ret == 1


def test_wrong_use_is_one_error_that_shows_the_users_code(models):
    body = """
model = net()
with pytest.raises(InitcheckError, match="it takes train_step, model, optimizer, batch"):
    initcheck.assert_step(step, model, sgd(model), batch(), loss_fn=None)
def broken(model, optimizer, batch):
    raise KeyError("x")
initcheck.assert_step(broken, model, sgd(model), batch())
"""
    result = run(models, body)
    assert result.ret == 1
    text = result.stdout.str()
    assert "InitcheckError: train_step raised KeyError: 'x'; pass a step that runs" in text
    assert 'raise KeyError("x")' in text
    assert "stepping/run.py" not in text


def test_the_losses_are_compared_with_the_baseline(models):
    body = "model = net()\ninitcheck.assert_step(step, model, sgd(model), batch())"
    assert run(models, body, "--initcheck-update").ret == 0
    assert run(models, body, "-q").ret == 0
    result = run(models, body.replace("net()", "net(seed=3)"), "-q")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*loss*"])


def test_the_fixtures_own_objects_are_not_touched(models):
    """A step that is a closure over the fixture: nothing that it records is taken back."""
    body = """
model = net()
optimizer = sgd(model)
def through(batch):
    assert initcheck is not None
    return step(model, optimizer, batch)
initcheck.compare("before", 1.0)
initcheck.assert_step(through, model, optimizer, batch())
"""
    assert run(models, body).ret == 0
    assert [name for _, name in models.entries()] == ["before", "step"]


def test_importing_the_name_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, pytest_initcheck as p; dir(p); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert "check_step" in dir(__import__("pytest_initcheck"))


def test_rules_say_what_they_measure():
    mine = [rule for rule in rules() if "IC850" < rule.id < "IC864"]
    assert len(mine) == 13
    for rule in mine:
        facts = (rule.cause, rule.limit, rule.reference, rule.quantity, rule.exempt, rule.remedy)
        assert all(facts), rule.id
