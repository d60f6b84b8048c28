"""initcheck.watch: a training of one's own, recorded and compared."""

from __future__ import annotations

REPORT = "--initcheck-report=report/page.html"
TRAINING = """
    import torch
    from nets import net, batch

    def train(initcheck, factor=1.0, fails_at=None, is_stepped=True):
        model, (inputs, labels) = net(), batch()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with initcheck.watch(model, optimizer, every=2) as watched:
            for step in range(6):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(inputs), labels)
                (factor * loss).backward()
                if step == fails_at:
                    raise KeyError("no more data")
                if is_stepped:
                    optimizer.step()
        return watched

    def test_it(initcheck):
        watched = train(initcheck{})
        assert watched.after.moment == "after 4 steps"
"""


def written(models, arguments=""):
    models.test(test_a=TRAINING.replace("{}", arguments))


def test_it_is_recorded_and_shown(models):
    written(models)
    assert models.run("--initcheck-baselines=off", REPORT).ret == 0
    ((key, entry),) = models.entries().items()
    assert key == ("test_a.py::test_it", "watch")
    assert entry["kind"] == "watch"
    record = entry["record"]
    assert len(record["curves"]["loss"][0]) == 3
    assert len(record["shown"]["update per step"][0]) == 3
    assert record["after"]["moment"] == "after 4 steps"
    page = (models.pytester.path / "report/page.html").read_text(encoding="utf-8")
    for text in ("gradient norm", "after 4 steps", '"x":"look"'):
        assert text in page


def test_it_is_held_against_its_baseline(models):
    written(models)
    assert models.record().ret == 0
    models.expect_pass()
    written(models, ", factor=3.0")
    models.expect_failure("gradients.weight", "only rounding is allowed")


def test_a_training_that_raises_shows_how_far_it_came(models):
    written(models, ", fails_at=3")
    result = models.run("--initcheck-baselines=off", REPORT)
    result.stdout.fnmatch_lines(["*KeyError: 'no more data'*"])
    (entry,) = models.entries().values()
    assert len(entry["record"]["curves"]["loss"][0]) == 2


def test_a_training_without_a_step_is_an_error(models):
    written(models, ", is_stepped=False")
    result = models.run("--initcheck-baselines=off", REPORT)
    result.stdout.fnmatch_lines(["*InitcheckError: watch has seen no step*"])
    assert models.entries() == {}


def test_an_argument_that_it_does_not_take(models):
    models.test(
        test_a="""
        def test_it(initcheck):
            with initcheck.watch(None, None, often=3):
                pass
        """
    )
    result = models.run("--initcheck-baselines=off")
    result.stdout.fnmatch_lines(
        ["*InitcheckError: watch: *'often'*it takes model, optimizer, every*"]
    )


def test_it_can_be_compared_under_another_name(models):
    models.test(
        test_a="""
        import torch
        from nets import net, batch
        from pytest_initcheck import watch

        def test_it(initcheck):
            model, (inputs, labels) = net(), batch()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            with watch(model, optimizer) as watched:
                torch.nn.functional.cross_entropy(model(inputs), labels).backward()
                optimizer.step()
            initcheck.compare("mine", watched)
        """
    )
    assert models.run("--initcheck-baselines=off", REPORT).ret == 0
    ((key, entry),) = models.entries().items()
    assert (key[1], entry["kind"]) == ("mine", "watch")
