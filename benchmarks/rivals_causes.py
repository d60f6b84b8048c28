"""The vocabulary of causes, one for all tools; the file of each says which of them its words name.

Generous to every tool alike: a cause counts as named when any finding on the start says it, be it
as one possibility among several; what is only a consequence of the cause does not count.
"""

from __future__ import annotations

import re
from typing import Any

# Where weights drawn too large are what brings a cause about, saying so names it just as well.
LARGE = "large weights"
# The causes of the corpus by the ids in docs/checks.md: each that a case names has words here.
OF_ID = {
    "IC101": {"zero weights"},
    "IC102": {"zero gain"},
    "IC103": {"overwritten weights"},
    "IC104": {"uninitialised memory"},
    "IC105": {"padding row"},
    "IC106": {"fan"},
    "IC107": {"normalisation over one value"},
    "IC108": {"dropout"},
    "IC109": {"batch changed in place"},
    "IC111": {"uninitialised memory"},
    "IC112": {"overwritten weights"},
    "IC114": {"outlier"},
    "IC115": {"symmetry"},
    "IC116": {"copies"},
    "IC117": {"symmetry"},
    "IC131": {"fan"},
    "IC132": {"fan", "vanishing"},
    "IC133": {"running statistics"},
    "IC134": {"constant table"},
    "IC135": {"wrong mask"},
    "IC136": {"outlier"},
    "IC137": {"off centre", LARGE},
    "IC201": {"symmetry"},
    "IC202": {"symmetry"},
    "IC203": {"copies"},
    "IC204": {"copies"},
    "IC301": {"dead units"},
    "IC302": {"dead units"},
    "IC303": {"saturation", LARGE},
    "IC304": {"rectified output"},
    "IC305": {"saturation", LARGE},
    "IC306": {"softmax over one unit"},
    "IC307": {"linear model"},
    "IC205": {"symmetry"},
    "IC308": {"saturation"},
    "IC309": {"routing"},
    "IC401": {"no gradient"},
    "IC406": {"wrong gradient"},
    "IC407": {"scale of one layer"},
    "IC408": {"exploding", LARGE},
    "IC409": {"depth scaling"},
    "IC402": {"vanishing"},
    "IC403": {"vanishing"},
    "IC404": {"exploding", LARGE},
    "IC405": {"exploding", LARGE},
    "IC501": {"non-finite"},
    "IC502": {"non-finite"},
    "IC503": {"non-finite"},
    "IC504": {"non-finite"},
    "IC601": {"not moved"},
    "IC602": {"not moved"},
    "IC603": {"learning rate"},
    "IC604": {"unread layer"},
    "IC605": {"steps too small"},
    "IC701": {"input scale"},
    "IC702": {"target scale"},
    "IC703": {"initial loss", LARGE},
    "IC704": {"summed loss"},
    "IC801": {"squashed twice"},
    "IC802": {"targets out of reach"},
    "IC803": {"unbounded loss"},
    "IC804": {"outside the loss's domain"},
    "IC805": {"leaking samples"},
    "IC806": {"sees the future"},
    "IC807": {"unread input"},
    "IC823": {"left out"},
    "IC808": {"NaN of the optimiser"},
    "IC809": {"other tensors"},
    "IC810": {"stuck after the steps"},
    "IC811": {"broadcast"},
    "IC812": {"nothing to learn"},
    "IC813": {"answer in the input"},
    "IC814": {"same output"},
    "IC815": {"against the loss"},
    "IC816": {"mispaired targets"},
    "IC817": {"unread targets"},
    "IC818": {"cut term"},
    "IC819": {"axes mixed up"},
    "IC824": {"axes mixed up"},
    "IC825": {"axes mixed up"},
    "IC820": {"batch not fitted"},
    "IC821": {"wrong sign"},
    "IC822": {"collapsed code"},
}
# "Check the learning rate and the optimiser": whatever may be wrong about them.
STEP = {"learning rate", "not moved", "other tensors", "against the loss"}
# "Logarithm or root of zero": where a clamp hides that it leaves its domain, too.
DOMAIN = {"non-finite", "outside the loss's domain"}


def expected(ids: list[str]) -> set[str]:
    """The causes that a case accepts."""
    return set().union(*(OF_ID.get(one, {one}) for one in ids))


def main_cause(ids: list[str]) -> str:
    """The first cause that a case accepts and that there are words for."""
    known = [one for one in ids if one in OF_ID]
    return min(OF_ID[known[0]] - {LARGE}) if known else ids[0]


def named(tool: str, flags: list[list[str]]) -> set[str]:
    """All causes that the findings on a start name."""
    return set().union(*(_of_flag(tool, rule, text) for rule, _, text in flags))


def _of_flag(tool: str, rule: str, text: str) -> set[str]:
    words = _words(tool)
    if words is None:
        return OF_ID.get(rule, {rule})
    found = [causes for pattern, causes in words if _says(pattern, rule, text)]
    return set().union(*found)


def unmapped(tool: str, flags: list[list[str]]) -> list[str]:
    """Findings that no pattern knows, so that none is overlooked."""
    words = _words(tool)
    if words is None:
        return []
    return [
        f"{rule}: {text}"
        for rule, _, text in flags
        if not any(_says(pattern, rule, text) for pattern, _ in words)
    ]


def _words(tool: str) -> Any:
    # Late, for the files of the rivals import this vocabulary.
    from rivals_adapters import rivals

    return rivals()[tool].words


def _says(pattern: str, rule: str, text: str) -> bool:
    return re.search(pattern, f"{rule}: {text}", re.DOTALL) is not None
