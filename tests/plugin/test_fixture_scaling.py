"""The fixture's methods about sizes: scaling, and the assertions on width and depth."""

HEAD = """
    import pytest
    import torch
    from torch import nn
    from pytest_initcheck import InitcheckFailure

    DATA = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3

    def net(width, spread=None):
        model = nn.Sequential(
            nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
        )
        for layer in model[::2]:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        if spread:
            nn.init.normal_(model[2].weight, std=spread)
        return model

    def deep(depth):
        layers = [nn.Linear(6, 6) for _ in range(depth)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight, 2.0)
        return nn.Sequential(*layers, nn.Linear(6, 3))

"""
REPORT = "--initcheck-report=report/page.html"


def run(models, body, *args):
    lines = [f"        {line}" for line in body.strip().splitlines()]
    models.test(test_a=HEAD + "    def test_it(initcheck):\n" + "\n".join(lines))
    return models.run(*args)


def test_what_is_sound_passes_and_is_recorded(models):
    body = """
found = initcheck.assert_width_stable(net, (16, 32, 64), DATA, steps=1)
assert found.layers == ("0", "2", "4")
initcheck.scaling(net, (8, 16), DATA, steps=1, seeds=2, name="two")
"""
    assert run(models, body, REPORT, "--initcheck-baselines=off").ret == 0
    found = {name: entry for (_, name), entry in models.entries().items()}
    assert {name: entry["kind"] for name, entry in found.items()} == {
        "width": "scaling",
        "two": "scaling",
    }
    assert found["width"]["verdict"] == "pass"
    assert len(found["width"]["record"]["metrics"]["2: own change, step 1"]) == 3
    page = (models.path / "report" / "page.html").read_text(encoding="utf-8")
    assert "How it scales" in page


def test_a_fault_fails_the_test_with_its_layer(models):
    body = (
        "initcheck.assert_width_stable(lambda n: net(n, spread=0.2), (16, 32, 64), DATA, steps=1)"
    )
    result = run(models, body, "--initcheck-baselines=off")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*fail: IC904 width, layer '2': 0.*, allowed at most 0.25*"])
    result.stdout.fnmatch_lines(["E*cause*it grows like width^+0.*allowed for this hidden layer*"])
    result.stdout.fnmatch_lines(["E*fix*1/√fan_in*"])


def test_a_fault_of_the_depth_fails_the_test(models):
    body = "initcheck.assert_depth_stable(deep, (2, 4, 8), DATA, steps=1, seeds=2)"
    result = run(models, body, "--initcheck-baselines=off")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*fail: IC905 depth, *allowed at most 0.75*"])


def test_exponents_are_held_against_their_baseline(models):
    body = "initcheck.scaling(net, (8, 128), DATA, steps=1, seeds=16)"
    assert run(models, body, "--initcheck-update").ret == 0
    assert run(models, body).ret == 0
    result = run(models, body.replace("seeds", "optimizer=torch.optim.Adagrad, seeds"))
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*metric*change*"])
