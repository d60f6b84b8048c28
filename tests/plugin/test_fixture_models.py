"""The fixture's methods on models: what passes, what fails, and that nothing is changed."""

from __future__ import annotations

import pytest

OFF = "--initcheck-baselines=off"
REPORT = "--initcheck-report=report/page.html"
HEAD = """
    import pytest
    import torch
    from torch import nn
    from nets import net, batch
    from pytest_initcheck import InitcheckFailure

    def filled(value, activation=nn.Sigmoid):
        model = nn.Sequential(nn.Linear(6, 16), activation(), nn.Linear(16, 3))
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)
        return model

    def dead():
        model = net()
        nn.init.constant_(model[0].bias, -100.0)
        return model

    def wide():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
        nn.init.normal_(model[0].weight, std=100.0)
        return model

"""


def run(models, body, *args):
    lines = [f"        {line}" for line in body.strip().splitlines()]
    models.test(test_a=HEAD + "    def test_it(initcheck):\n" + "\n".join(lines))
    return models.run(OFF, *args)


ASSERTIONS = [
    "assert_healthy",
    "assert_symmetry_broken",
    "assert_no_dead_layers",
    "assert_no_saturated_layers",
    "assert_gradients_flow",
]


@pytest.mark.parametrize("name", ASSERTIONS)
def test_healthy_model_passes(models, name):
    assert run(models, f"assert initcheck.{name}(net(), batch()).verdict == 'pass'").ret == 0


@pytest.mark.parametrize(
    ("name", "model", "words"),
    [
        ("assert_healthy", "filled(0.0)", ", layer '0'"),
        ("assert_healthy", "dead()", ", layer '0'"),
        ("assert_symmetry_broken", "filled(1.0)", "units 0, 1, 2"),
        ("assert_symmetry_broken", "filled(0.0, nn.ReLU)", ", layer '0'"),
        ("assert_no_dead_layers", "dead()", "dead"),
        ("assert_no_saturated_layers", "wide()", "saturation"),
        ("assert_gradients_flow", "filled(0.0, nn.ReLU)", ", layer '0'"),
    ],
)
def test_fault_fails(models, name, model, words):
    result = run(models, f"initcheck.{name}({model}, batch())", REPORT)
    assert result.ret == 1
    (line,) = [line for line in result.outlines if "InitcheckFailure: fail: " in line]
    assert words in line
    (entry,) = models.entries().values()
    assert entry["verdict"] == "fail"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("assert_no_dead_layers", "filled(1.0)"),
        ("assert_no_saturated_layers", "dead()"),
        ("assert_symmetry_broken", "wide()"),
    ],
)
def test_fault_of_another_kind_passes(models, name, model):
    result = run(models, f"assert initcheck.{name}({model}, batch()).verdict == 'fail'")
    assert result.ret == 0


@pytest.mark.parametrize("name", ["assert_no_saturated_layers", "assert_no_dead_layers"])
def test_sigma_is_judged_without_changing_the_model(models, name):
    body = f"""
model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
data = batch()
before = {{key: value.clone() for key, value in model.state_dict().items()}}
random = torch.get_rng_state()
found = [initcheck.{name}(model, data, sigma=0.3) for _ in range(2)]
assert found[0].record == found[1].record
assert found[0].record.layers[0].weights["weight"].std == pytest.approx(0.3, rel=0.3)
assert torch.equal(random, torch.get_rng_state())
for key, value in model.state_dict().items():
    assert torch.equal(value, before[key])
"""
    assert run(models, body).ret == 0


def test_wide_sigma_saturates(models):
    body = """
model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
initcheck.assert_no_saturated_layers(model, batch())
with pytest.raises(InitcheckFailure, match="saturation"):
    initcheck.assert_no_saturated_layers(model, batch(), sigma=100.0)
"""
    assert run(models, body).ret == 0


@pytest.mark.parametrize("sigma", ["-1", "float('nan')", "'wide'", "True"])
def test_sigma_that_is_none_is_one_clear_error(models, sigma):
    result = run(models, f"initcheck.assert_no_dead_layers(net(), batch(), sigma={sigma})")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: sigma: pass a standard deviation*"])


def test_arguments_of_diagnose_are_passed_on(models):
    body = """
loss = nn.CrossEntropyLoss(reduction="sum")
def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.5)
found = initcheck.assert_gradients_flow(net(), batch(), loss, adam, steps=2, name="mine")
assert found.record.meta["optimizer"] == "Adam"
assert found.record.meta["lr"] == "0.5"
assert len(found.losses) == 3
"""
    assert run(models, body, REPORT).ret == 0
    assert [name for _, name in models.entries()] == ["mine"]


def test_every_method_has_a_name_of_its_own(models):
    body = "\n".join(f"initcheck.{name}(net(), batch())" for name in ["diagnose", *ASSERTIONS])
    assert run(models, body + "\ninitcheck.diagnose(net(), batch())", REPORT).ret == 0
    assert [name for _, name in models.entries()] == [
        "diagnosis",
        "healthy",
        "symmetry",
        "dead layers",
        "saturated layers",
        "gradients",
        "diagnosis-2",
    ]


def test_diagnosis_is_recorded_as_it_is(models):
    body = """
from pytest_initcheck import diagnose
assert initcheck.diagnose(net(), batch()).record == diagnose(net(), batch()).record
"""
    assert run(models, body, REPORT).ret == 0
    (entry,) = models.entries().values()
    assert entry["kind"] == "diagnosis"
    assert len(entry["record"]["before"]["layers"]) == 2
    assert len(entry["record"]["curves"]["loss"][0]) == 6


def test_warning_passes_and_is_shown(models):
    models.pytester.makeconftest(
        """
        from pytest_initcheck import Finding
        class Mild:
            name = "mild"
            def run(self, evidence):
                yield Finding(id="T1", check="mild", severity="warning", layer="0",
                    quantity="noise", measured=2.0, limit=1.0, cause="loud", remedy="hush")
        def pytest_initcheck_checks(config):
            return [Mild()]
        """
    )
    result = run(models, "assert initcheck.assert_healthy(net(), batch()).verdict == 'warn'")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*warn*", "*T1 mild, layer '0'*"])


def test_same_seed_gives_the_same_data(models):
    body = "initcheck.diagnose(net(), batch())"
    found = []
    for _ in range(2):
        assert run(models, body, REPORT).ret == 0
        data = models.data()
        data["provenance"].pop("time")
        data["tests"][0].pop("duration")
        found.append(data)
    assert found[0] == found[1]
    assert found[0]["provenance"]["device"] == "cpu"


def test_baseline_of_a_diagnosis(models):
    models.test(test_a=HEAD + "    def test_it(initcheck): initcheck.diagnose(net(), batch())")
    assert models.run().ret == 1
    assert models.run("--initcheck-update").ret == 0
    assert models.run().ret == 0
    changed = "    def test_it(initcheck): initcheck.diagnose(wide(), batch())"
    models.test(test_a=HEAD + changed)
    result = models.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "changed: 'diagnosis' is not as in its baseline*",
            "not accepted: its start is not healthy *",
        ]
    )
