"""Ignores: every form that a user would write, and what they take out of a diagnosis."""

from __future__ import annotations

import string

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pytest_initcheck import Ignore, InitcheckError, diagnose
from pytest_initcheck.checks import rules
from pytest_initcheck.checks.apply_ignores import sort_out
from pytest_initcheck.checks.known_ignores import parse_known
from pytest_initcheck.ignores import NEVER, parse
from pytest_initcheck.records import Finding

WORD = st.text(min_size=1, max_size=12).map(str.strip)


def is_layer(text: str) -> bool:
    return bool(text) and ":" not in text and len(text.splitlines()) == 1


OWN = sorted({rule.id for rule in rules()} - set(NEVER))
IDS = st.sampled_from([*OWN, "IC*", "IC2*", "IC20*", "ACME1", "acme-*", "T.1", "ü_7"])
LAYERS = st.one_of(st.just("*"), st.from_regex(r"[a-z.*?\[\] ]{1,9}", fullmatch=True), WORD).filter(
    lambda text: is_layer(text.strip())
)
IGNORES = st.builds(Ignore, id=IDS, layer=LAYERS, reason=WORD.filter(bool))


@given(IGNORES)
def test_an_ignore_is_read_back_from_each_of_its_forms(ignore):
    parts = (ignore.id, ignore.layer, ignore.reason)
    mapping = dict(zip(("id", "layer", "reason"), parts, strict=True))
    for form in (ignore, str(ignore), parts, mapping):
        assert parse(form) == (ignore,)
        assert parse([form, form]) == parse((form, form)) == (ignore, ignore)
    assert str(parse(str(ignore))[0]) == str(ignore)


@given(st.text(alphabet=string.printable, max_size=30))
def test_any_text_is_one_ignore_or_one_clear_error(text):
    try:
        (ignore,) = parse(text)
    except InitcheckError:
        return
    assert parse(str(ignore)) == (ignore,)
    assert ignore.reason in " ".join(text.split())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, []),
        ([], []),
        ((), []),
        ("IC201: tied on purpose", [("IC201", "*")]),
        ("IC201 encoder.*: tied on purpose", [("IC201", "encoder.*")]),
        ("  IC201\tencoder.* :tied on purpose ", [("IC201", "encoder.*")]),
        ("IC201 my layer: tied on purpose", [("IC201", "my layer")]),
        ("IC2* *: tied on purpose", [("IC2*", "*")]),
        (("IC201", "tied on purpose"), [("IC201", "*")]),
        (("IC201", "encoder.*", "tied on purpose"), [("IC201", "encoder.*")]),
        ([("IC201", "tied on purpose")], [("IC201", "*")]),
        ([["IC201", "last", "tied on purpose"]], [("IC201", "last")]),
        ({"id": "IC201", "reason": "tied on purpose"}, [("IC201", "*")]),
        (("IC201: tied on purpose", "ACME1 a: tied on purpose"), [("IC201", "*"), ("ACME1", "a")]),
        (
            [
                Ignore(id="IC201", reason="tied on purpose"),
                {"id": "IC301", "layer": "a", "reason": "tied on purpose"},
            ],
            [("IC201", "*"), ("IC301", "a")],
        ),
    ],
)
def test_forms(given, expected):
    found = parse(given)
    assert [(ignore.id, ignore.layer) for ignore in found] == expected
    assert {ignore.reason for ignore in found} <= {"tied on purpose"}


def test_a_reason_may_hold_colons_and_is_put_on_one_line():
    assert parse("IC201 a: see issue: #12")[0].reason == "see issue: #12"
    assert parse(("IC201", "a", " see\n  issue "))[0].reason == "see issue"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "is not one ignore; write 'IC201 encoder.*: the reason'"),
        (": tied", "is not one ignore"),
        (
            "IC201: a\nIC301: b",
            "is not one ignore; write 'IC201 encoder.*: the reason', a text for",
        ),
        ("IC201", "the ignore of IC201 gives no reason; write 'IC201: the reason'"),
        ("IC201:", "the ignore of IC201 gives no reason"),
        ("IC201 enc.*:  ", "the ignore of IC201 enc.* gives no reason; write 'IC201 enc.*: the"),
        ("IC201 enc.* tied", "'IC201 enc.* tied' gives no reason; write"),
        (("IC201", "enc.*", " "), "the ignore of IC201 enc.* gives no reason"),
        ({"id": "IC201"}, "the ignore of IC201 gives no reason"),
        (("IC201", "", "tied"), "an empty layer pattern; '*' takes all layers"),
        ({"id": "IC201", "layer": " ", "reason": "tied"}, "an empty layer pattern"),
        (
            ("IC201", "a:b", "tied"),
            "the layer pattern 'a:b' holds a colon or a line break; write ?",
        ),
        ("IC211: tied", "no rule has the id IC211 (did you mean IC"),
        ("ic201: tied", "no rule has the id ic201 (did you mean IC201"),
        ("IC20: tied", "no rule has the id IC20 (did you mean IC20"),
        ("IC88*: tied", "no rule has the id IC88*"),
        ("*: tied", "'*' is no id of a finding: write one id (IC201), or how ids begin and a star"),
        ("IC*1: tied", "'IC*1' is no id of a finding"),
        ("IC201,IC301 a: tied", "'IC201,IC301' is no id of a finding: write one id"),
        ("IC001: tied", "IC001 cannot be ignored: it tells of ignores that match nothing"),
        ("IC901: tied", "IC901 cannot be ignored: it is what assert_escapes asserts"),
        ({"reason": "tied"}, "an ignore needs the key 'id'; pass {'id': 'IC201'"),
        ({"id": "IC201", "why": "tied"}, "an ignore has no key 'why'; pass {'id'"),
        ({"id": "IC201", "reason": 3}, "the reason of an ignore is 3; pass a text, as in 'IC201"),
        (7, "an ignore cannot be 7; pass a text such as 'IC201 encoder.*: the reason', a tuple"),
        ([None], "an ignore cannot be None; pass a text"),
        ([["IC201: a", "IC301: b", "IC302: c", "IC303: d"]], "an ignore cannot be ['IC201: a'"),
        (b"IC201: tied", "an ignore cannot be b'IC201: tied'; pass a text"),
        ({"IC201: tied"}, "an ignore cannot be {'IC201: tied'}; pass a text"),
    ],
)
def test_a_wrong_ignore_is_one_clear_error(given, words):
    with pytest.raises(InitcheckError) as caught:
        parse_known(given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_ignore_built_by_hand_is_checked_too():
    with pytest.raises(InitcheckError, match="gives no reason"):
        Ignore(id="IC201")
    with pytest.raises(InitcheckError, match="the layer of an ignore is None"):
        Ignore(id="IC201", layer=None, reason="tied")


@pytest.mark.parametrize("id", [*OWN, "IC*", "IC86*", "ACME1"])
def test_every_rule_can_be_ignored_by_its_id(id):
    assert parse_known(f"{id}: tied") == parse(f"{id}: tied")


@pytest.mark.parametrize("id", NEVER)
def test_what_cannot_be_ignored_is_a_rule(id):
    assert id in {rule.id for rule in rules()}


def test_a_wrong_id_is_told_with_the_place_where_it_stands():
    with pytest.raises(InitcheckError, match=r"^initcheck_ignore: no rule has the id IC211"):
        parse_known(Ignore(id="IC211", reason="tied", origin="initcheck_ignore"))


def finding(id: str = "IC201", *layers: str, **changes) -> Finding:
    values = {"quantity": "slope", "measured": 0.5, "limit": 1.0, "cause": "why", "remedy": "so"}
    first = layers[0] if layers else ""
    return Finding(
        id=id, check="check", severity="error", layer=first, layers=layers, **{**values, **changes}
    )


def sorted_out(findings, *ignores):
    return sort_out(findings, parse(list(ignores)))


def test_nothing_is_changed_without_an_ignore_that_matches():
    findings = [finding("IC201", "a", "b"), finding("IC702")]
    assert sorted_out(findings).findings == findings
    found = sorted_out(findings, "IC301: x", "IC201 c: x", "IC702 a*: x", "IC702 ?*: x")
    assert found.findings[:2] == findings
    assert found.ignored == []
    assert len(found.unused) == 4


def test_a_finding_whose_layers_all_match_is_ignored_for_that_reason():
    whole = finding("IC201", "enc.0", "enc.1", consequences=("error IC401 gradients: …",))
    found = sorted_out([whole, finding("IC301", "enc.0")], "IC201 enc.*: tied")
    assert [f.id for f in found.findings] == ["IC301"]
    assert found.unused == []
    (ignored,) = found.ignored
    assert ignored.ignored == "tied"
    assert ignored.layers == whole.layers
    assert ignored.consequences == whole.consequences


@pytest.mark.parametrize("ignore", ["IC702: pascal", "IC7*: pascal", "IC702 *: pascal"])
def test_a_finding_of_the_whole_model_takes_a_star(ignore):
    found = sorted_out([finding("IC702")], ignore)
    assert (found.findings, found.unused) == ([], [])
    assert [f.ignored for f in found.ignored] == ["pascal"]


def test_a_part_of_the_layers_is_ignored():
    profile = {"a": 0.5, "b": 0.6, "c": 0.7}
    whole = finding("IC303", "a", "b", "c", units=(1, 2), profile=profile, consequences=("next",))
    found = sorted_out([whole], "IC303 [bc]: meant")
    (kept,), (ignored,) = found.findings, found.ignored
    assert (kept.layer, kept.layers, kept.units, kept.measured) == ("a", ("a",), (1, 2), 0.5)
    assert kept.consequences == ("next",)
    assert (ignored.layer, ignored.layers, ignored.units) == ("b", ("b", "c"), ())
    assert (ignored.measured, ignored.limit) == (0.6, 1.0)
    assert ignored.consequences == ()


def test_what_was_measured_at_an_ignored_layer_is_not_told_of_another():
    mend = {"remedy_code": "fill()", "remedy_target": "model", "remedy_names": ("a.weight",)}
    whole = finding("IC303", "a", "b", units=(1, 2), **mend)
    (kept,) = sorted_out([whole], "IC303 a: meant").findings
    assert (kept.layer, kept.measured, kept.limit, kept.units) == ("b", None, None, ())
    assert (kept.remedy_code, kept.remedy_target, kept.remedy_names) == ("", "", ())
    assert kept.numbers == "slope"


def test_a_count_of_layers_is_that_of_the_layers_left():
    mend = {"remedy_code": "fill()", "remedy_target": "model", "remedy_names": ("a", "bb.weight")}
    whole = finding("IC103", "a", "b", "c", measured=3, limit=0, counts_layers=True, **mend)
    found = sorted_out([whole], "IC103 b: meant")
    assert [f.measured for f in (*found.findings, *found.ignored)] == [2, 1]
    assert found.findings[0].remedy_code == whole.remedy_code


def test_a_number_that_equals_that_of_the_layers_is_no_count_of_them():
    whole = finding("IC502", "a", "b", "c", measured=3, limit=0)
    (kept,) = sorted_out([whole], "IC502 b: meant").findings
    assert (kept.layers, kept.measured) == (("a", "c"), 3)


def test_code_that_does_not_say_what_it_acts_on_is_not_for_a_part_of_the_layers():
    whole = finding("T1", "a", "b", remedy_code="fill(model)")
    assert sorted_out([whole]).findings[0].remedy_code == "fill(model)"
    assert sorted_out([whole], "T1 b: meant").findings[0].remedy_code == ""


def test_each_reason_has_its_part():
    whole = finding("IC303", "a", "b", "c", consequences=("next",))
    found = sorted_out([whole], "IC303 b: one", "IC303 c: two", "IC3* [ac]: three")
    assert found.findings == []
    assert [(f.ignored, f.layers) for f in found.ignored] == [
        ("three", ("a",)),
        ("one", ("b",)),
        ("two", ("c",)),
    ]
    assert [f.consequences for f in found.ignored] == [("next",), (), ()]
    assert found.unused == []


def test_a_team_finding_that_lists_no_layers_has_its_layer():
    whole = Finding(
        id="T1",
        check="loud",
        severity="error",
        layer="head",
        quantity="noise",
        measured=2.0,
        limit=1.0,
        cause="too loud",
        remedy="hush",
    )
    found = sorted_out([whole], "T1 he*: meant")
    assert (found.findings, [f.layer for f in found.ignored]) == ([], ["head"])
    assert len(sorted_out([whole], "T1 enc: meant").findings) == 2


def test_a_consequence_is_not_ignored_by_itself():
    root = finding("IC301", "a", consequences=("error IC401 gradients: layer 'b'",))
    found = sorted_out([root], "IC401 b: frozen by hand")
    assert found.findings[0] == root
    assert [ignore.id for ignore in found.unused] == ["IC401"]


def test_an_ignore_that_matches_nothing_is_told():
    found = sorted_out([], "IC201 enc.*: tied")
    (told,) = found.findings
    assert (told.id, told.check, told.severity, told.layer) == ("IC001", "ignore", "info", "")
    assert "'IC201 enc.*: tied' matches nothing" in told.cause
    assert "remove the ignore" in told.remedy


def test_an_ignore_for_more_than_this_test_is_left_to_the_run():
    shared = Ignore(id="IC201", reason="tied", origin="initcheck_ignore", shared=True)
    found = sort_out([], [shared])
    assert (found.findings, found.unused) == ([], [shared])


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def zero() -> nn.Module:
    model = net()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


BATCH = torch.randn(64, 6), torch.arange(64) % 3


def test_a_diagnosis_without_what_is_ignored():
    found = diagnose(zero(), BATCH, ignore=["IC101: a placeholder", "IC702: no such thing"])
    assert found.verdict == "pass"
    assert [f.id for f in found.findings] == ["IC001"]
    assert [(f.id, f.ignored) for f in found.ignored] == [("IC101", "a placeholder")]
    assert [str(ignore) for ignore in found.unused_ignores] == ["IC702: no such thing"]
    assert "ignored (a placeholder): error IC101" in str(found)


def test_the_verdict_is_that_of_the_layers_left():
    found = diagnose(zero(), BATCH, ignore=("IC101", "0", "drawn later"))
    assert found.verdict == "fail"
    assert [f.layers for f in found.findings] == [("2",)]
    assert [f.layers for f in found.ignored] == [("0",)]
    assert found.unused_ignores == []


def test_nothing_ignored_leaves_no_trace():
    found = diagnose(net(), BATCH)
    assert (found.ignored, found.unused_ignores) == ([], [])
    assert found == diagnose(net(), BATCH, ignore=None)


def test_a_wrong_ignore_is_told_before_anything_runs():
    with pytest.raises(InitcheckError, match="gives no reason"):
        diagnose("no model", None, ignore="IC101")


def test_a_remedy_is_tried_with_the_same_ignores():
    found = diagnose(zero(), BATCH, ignore=["IC101: drawn later", "IC702: pascal"])
    again = found.try_remedy()
    assert again.subject is not None
    assert [ignore.id for ignore in again.subject.ignore] == ["IC101", "IC702"]
    assert again.verdict == "pass"
    assert again.applied == ()
