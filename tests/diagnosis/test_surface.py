"""What a diagnosis offers: verdict, findings, tables, figures, and a record for JSON."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch
from torch import nn

import pytest_initcheck
from pytest_initcheck import diagnose
from pytest_initcheck.checks import judge, registered, rules
from pytest_initcheck.records import RunRecord
from pytest_initcheck.serialization import decode, encode


def net(value=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    if value is not None:
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)
    return model


def data():
    torch.manual_seed(1)
    return torch.randn(32, 6), torch.randint(0, 3, (32,))


@pytest.fixture(scope="module")
def healthy():
    return diagnose(net(), data())


@pytest.fixture(scope="module")
def ill():
    return diagnose(net(0.1), data())


def test_the_package_offers_its_contract():
    assert {"diagnose", "run", "sweep", "escape"} <= set(dir(pytest_initcheck))


def test_a_healthy_model_passes_without_findings(healthy):
    assert healthy.verdict == "pass"
    assert not [f for f in healthy.findings if f.severity != "info"]


def test_a_finding_says_what_where_how_much_and_what_to_do(ill):
    assert ill.verdict == "fail"
    first = ill.findings[0]
    assert (first.id, first.check, first.severity, first.layer) == (
        "IC201", "symmetry", "error", "0",
    )  # fmt: skip
    assert first.units == tuple(range(16))
    assert first.measured <= first.limit
    assert first.cause
    assert "init" in first.remedy
    assert first.reference


def test_a_finding_is_one_readable_line(ill):
    for finding in ill.findings:
        line = str(finding)
        assert "\n" not in line
        assert all(part in line for part in (finding.id, finding.check, finding.cause))
        assert finding.layer in line


def test_errors_come_before_warnings_and_consequences_are_attached(ill):
    ranks = [("error", "warning", "info").index(f.severity) for f in ill.findings]
    assert ranks == sorted(ranks)
    lines = [line for f in ill.findings for line in f.consequences]
    assert not {str(f) for f in ill.findings} & set(lines)


def test_a_warning_alone_warns(healthy):
    finding = dataclasses.replace(diagnose(net(0.1), data()).findings[0], severity="warning")
    assert dataclasses.replace(healthy, findings=[finding]).verdict == "warn"
    note = dataclasses.replace(finding, severity="info")
    assert dataclasses.replace(healthy, findings=[note]).verdict == "pass"


def test_the_record_states_how_it_was_made(healthy):
    meta = healthy.record.meta
    assert meta["model"] == "Sequential"
    assert (meta["optimizer"], meta["lr"], meta["steps"]) == ("SGD", "0.01", "5")
    assert (meta["device"], meta["dtype"]) == ("cpu", "float32")
    assert healthy.record.moment == "start"
    assert healthy.after.moment == "after 5 steps"
    assert len(healthy.losses) == 6


def test_the_optimiser_and_the_loss_are_stated():
    found = diagnose(
        net(), data(), loss_fn=nn.CrossEntropyLoss(), optimizer=lambda p: torch.optim.Adam(p, 0.02),
        steps=2,
    )  # fmt: skip
    meta = found.record.meta
    assert (meta["optimizer"], meta["lr"], meta["steps"]) == ("Adam", "0.02", "2")
    assert meta["loss"] == "CrossEntropyLoss"
    assert len(found.losses) == 3


def test_the_record_goes_to_json_and_back(healthy, ill):
    for found in (healthy, ill):
        record = found.run_record()
        text = json.dumps(encode(record), allow_nan=False)
        assert decode(RunRecord, json.loads(text)) == record
        assert record.curves["loss"] == (found.losses,)
        assert (record.before, record.after) == (found.record, found.after)


def test_a_record_with_nan_goes_to_json_and_back():
    model = net()
    with torch.no_grad():
        model[2].weight.fill_(float("nan"))
    record = diagnose(model, data()).run_record()
    text = json.dumps(encode(record), allow_nan=False)
    assert encode(decode(RunRecord, json.loads(text))) == encode(record)


def test_the_table_has_one_row_per_layer_moment_and_tensor(healthy):
    frame = healthy.to_frame()
    assert {"layer", "moment", "tensor", "mean", "std", "min", "max"} <= set(frame.columns)
    rows = frame[(frame["layer"] == "0") & (frame["moment"] == "start")]
    weight = healthy.record.layer("0").weights["weight"]
    assert weight.std in set(rows["std"])
    assert set(frame["moment"]) == {"start", "after 5 steps"}
    assert set(frame["layer"]) == {"0", "2"}
    assert not frame.duplicated(["layer", "moment", "tensor"]).any()


def test_the_figure_shows_every_layer(healthy):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    figure = healthy.plot()
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    text = " ".join(
        part
        for axes in figure.axes
        for part in (axes.get_title(), axes.get_ylabel(), axes.get_xlabel())
    )
    assert "0" in text
    assert "2" in text
    assert any(axes.patches or axes.lines or axes.collections for axes in figure.axes)


def test_a_figure_of_a_model_with_nan_is_drawn():
    model = net()
    with torch.no_grad():
        model[2].weight.fill_(float("nan"))
    diagnose(model, data()).plot().canvas.draw()


def test_the_text_of_a_diagnosis_starts_with_the_verdict(ill):
    lines = str(ill).splitlines()
    assert "fail" in lines[0]
    assert str(ill.findings[0]) in lines[1]


def test_every_rule_has_a_stable_id_and_says_its_limit():
    found = rules()
    ids = [rule.id for rule in found]
    assert ids == sorted(set(ids))
    for rule in found:
        assert re.fullmatch(r"IC\d{3}", rule.id)
        assert rule.title
        assert rule.cause
        assert rule.limit
        assert rule.reference
        assert rule.follows <= set(ids)


def test_every_check_has_a_name_of_its_own():
    names = [check.name for check in registered()]
    assert len(names) == len(set(names))


def test_an_own_check_runs_in_place_of_the_registered_ones():
    class Loud:
        name = "loud"
        rules = ()

        def run(self, evidence):
            rule = rules()[0]
            yield rule.found(
                "loud", "warning", ["0"], "noise", measured=2.0, limit=1.0, remedy="be quiet"
            )

    found = diagnose(net(0.1), data(), checks=[Loud()])
    assert [(f.check, f.severity) for f in found.findings] == [("loud", "warning")]
    assert found.verdict == "warn"


def test_findings_do_not_depend_on_the_order_of_the_checks():
    from pytest_initcheck.diagnosis.gather import gather
    from pytest_initcheck.diagnosis.subject import Subject

    evidence = gather(Subject(model=net(0.1), batch=data(), steps=3))
    there, back = judge(evidence), judge(evidence, registered()[::-1])
    assert {f.id for f in there} == {f.id for f in back}
