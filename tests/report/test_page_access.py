"""The report for everyone: contrast, names, axe-core, few nodes, calm filters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.report import many_tests, session

pytestmark = pytest.mark.browser
# npm install axe-core, then the path of its axe.min.js; it is no part of this repository.
AXE = os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js")

CONTRAST = """() => {
  const parse = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith('color(') ? numbers.map((n, i) => i < 3 ? n * 255 : n) : numbers;
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const worst = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility()) continue;
    if (e.closest('[hidden], .hidden, .skip, #tip, noscript, script, svg.h, svg.l')) continue;
    const style = getComputedStyle(e);
    const ink = parse(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const name = `${e.tagName}.${e.className.baseVal ?? e.className}`;
    if (ratio < 4.5) worst.push(`${name} ${ratio.toFixed(2)}`);
  }
  return [...new Set(worst)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast_and_the_picture_is_not_empty(show, scheme, tmp_path):
    seen = show(session(), color_scheme=scheme)
    seen.open_all()
    assert seen.page.evaluate(CONTRAST) == []
    ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(c) for c in ground.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (sum(channels) > 600) == (scheme == "light")
    picture = seen.page.screenshot(path=tmp_path / "page.png")
    assert len(picture) > 20_000


def test_names_and_roles_are_there_for_a_screen_reader(show):
    seen = show(session())
    seen.open_all()
    unnamed = seen.page.evaluate(
        """() => {
          const without = (query, name) =>
            [...document.querySelectorAll(query)].filter((e) => !name(e)).map((e) => e.outerHTML);
          return [
            without('svg[role=img]', (e) => e.getAttribute('aria-label')?.trim()),
            without('img', (e) => e.hasAttribute('alt')),
            without('input, select', (e) => e.labels.length),
            without('button, a', (e) => e.textContent.trim()),
          ].flat();
        }"""
    )
    assert unnamed == []
    assert seen.page.evaluate("document.documentElement.lang") == "en"
    assert seen.page.get_by_role("searchbox").count() == 1
    assert seen.page.get_by_role("heading", level=1).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_axe_core_finds_no_violation(show, scheme, width):
    if not Path(AXE).exists():
        pytest.skip("set AXE_CORE to the axe.min.js of axe-core")
    size = {"width": width, "height": 900}
    seen = show(session(), viewport=size, color_scheme=scheme, bypass_csp=True)
    seen.open_all()
    seen.page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    found = seen.page.evaluate("axe.run().then((all) => all.violations.map((one) => one.id))")
    assert found == []


@pytest.mark.slow
def test_two_thousand_tests_need_few_nodes(show):
    seen = show(many_tests(), "many")
    count = "document.querySelectorAll('*').length"
    assert seen.page.evaluate(count) < 3_000
    assert seen.page.locator("#shown").inner_text() == "2000 of 2000 tests"
    seen.page.locator("#toggle").click()
    for _ in range(3):
        seen.page.mouse.wheel(0, 5_000)
        seen.page.wait_for_timeout(200)
    assert seen.page.evaluate(count) < 20_000
    seen.page.fill("#q", "test_model[1990]")
    seen.page.wait_for_timeout(100)
    assert seen.shown() == ["test_model[1990]"]
    assert seen.faults == []


def test_motion_is_reduced_where_it_is_asked_for(show):
    seen = show(session(), reduced_motion="reduce")
    moving = """() => [...document.querySelectorAll('*')]
        .filter((e) => parseFloat(getComputedStyle(e).transitionDuration) > 0).length"""
    assert seen.page.evaluate(moving) == 0


def test_colour_is_never_alone(show):
    seen = show(session())
    bare = seen.page.evaluate(
        """() => [...document.querySelectorAll('.chip, .mark, .sev, svg.strip, svg.gauge, .count')]
            .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label')))
            .map((e) => e.outerHTML)"""
    )
    assert bare == []
