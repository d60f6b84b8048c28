"""Weights that no initialiser reached: by what was recorded while the model was built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pytest_initcheck.checks.prose import percent
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.construction import Built, ConstructionFacts
from pytest_initcheck.evidence.layer_names import layer_of
from pytest_initcheck.evidence.write import Write
from pytest_initcheck.records import Finding, Severity


class WrittenValues:
    """Reads the ledger of a model that was given as a factory; silent where there is none."""

    name = "construction"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC111",
            title="never written",
            cause="no call wrote to it after its memory was made: it holds what happened to lie "
            "there, and another machine, or another day, gives another start",
            limit="every element of every parameter and buffer written at least once",
            reference="PyTorch documentation: torch.empty, torch.nn.Module.to_empty; "
            "allenai/OLMo-core #698, huggingface/transformers #34234",
            quantity="share of the elements to which nothing was written",
            exempt="what is still on the meta device or lazy; what a checkpoint, or the first "
            "forward pass, fills after the factory has returned is not seen",
            severities=("error", "warning"),
            remedy="write to it where the model is built, and in what the model calls after "
            "to_empty(): reset_parameters() of every module, buffers included",
        ),
        Rule(
            id="IC112",
            title="written to a temporary",
            cause="the draw went into a tensor that was computed from the parameter and is gone "
            "by now: the parameter is as if the call had not been",
            limit="every draw into a parameter, or into what is copied to one afterwards",
            reference="PyTorch documentation: torch.nn.utils.parametrize (the parametrised tensor "
            "is computed at each access); huggingface/transformers #44575",
            quantity="draws that reached no parameter or buffer",
            exempt="draws of torch's own modules; tensors that nothing of the model went into",
            severities=("warning",),
            remedy="draw into the parameter itself, under torch.no_grad(); through a "
            "parametrisation assign the whole tensor: module.weight = value",
        ),
        Rule(
            id="IC113",
            title="a narrower draw undone",
            cause="what was drawn for this weight in particular was drawn over by a call that "
            "writes to more weights: the particular choice has no effect",
            limit="no deliberate draw that a later, broader one replaces by another distribution",
            reference="huggingface/transformers #47458, #17877",
            quantity="weights whose own initialiser was drawn over",
            exempt="a broad draw that a narrower one replaces; defaults of torch's own modules; "
            "the same distribution drawn again",
            severities=("info",),
            remedy="call the general initialisation first and the particular one after it, or mark "
            "what is initialised already",
        ),
        Rule(
            id="IC138",
            title="drawn again and again",
            cause="the same initialiser drew for the same weight several times: the last draw "
            "counts, the others cost time, and move the stream of random numbers",
            limit="one deliberate draw of one distribution for each weight",
            reference="huggingface/transformers #17877, #21431",
            quantity="times that one initialiser drew for a weight",
            exempt="defaults of torch's own modules; another distribution (IC113); parts of a "
            "weight, each drawn once",
            severities=("info",),
            remedy="initialise from the outermost module alone, or mark what is initialised",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        facts = evidence.construction
        if facts is not None:
            yield from self.judge(facts)

    def judge(self, facts: ConstructionFacts) -> Iterator[Finding]:
        """What the ledger alone shows; no pass of the model is needed."""
        yield from self._never_written(facts)
        yield from self._temporaries(facts)
        yield from self._undone(facts)
        yield from self._again(facts)

    def _never_written(self, facts: ConstructionFacts) -> Iterator[Finding]:
        empty = [built for built in facts.tensors if built.is_known and built.unwritten > 0]
        for severity in ("error", "warning"):
            of_it = [built for built in empty if _severity(built) == severity]
            if of_it:
                yield self.rules[0].found(
                    self.name,
                    severity,
                    layers_of(of_it),
                    "share never written",
                    measured=max(built.unwritten for built in of_it),
                    limit=0,
                    cause=f"{described([_share(built) for built in of_it])}: {self.rules[0].cause}",
                )

    def _temporaries(self, facts: ConstructionFacts) -> Iterator[Finding]:
        lost = [built for built in facts.tensors if built.lost]
        if lost:
            calls = dict.fromkeys(str(write) for built in lost for write in built.lost)
            yield self.rules[1].found(
                self.name,
                "warning",
                layers_of(lost),
                "draws that reached no parameter",
                measured=len(calls),
                limit=0,
                cause=f"{described(list(calls))}: {self.rules[1].cause}",
            )

    def _undone(self, facts: ConstructionFacts) -> Iterator[Finding]:
        for calls, tensors in _overdrawn(facts).items():
            yield self.rules[2].found(
                self.name,
                "info",
                layers_of(tensors),
                "weights drawn over",
                measured=len(tensors),
                limit=0,
                cause=f"{calls}: {self.rules[2].cause}",
            )

    def _again(self, facts: ConstructionFacts) -> Iterator[Finding]:
        times = {built.name: _draws_alike(built) for built in facts.tensors}
        again = [built for built in facts.tensors if times[built.name] > 1]
        if again:
            most = max(again, key=lambda built: times[built.name])
            yield self.rules[3].found(
                self.name,
                "info",
                layers_of(again),
                "times that it was drawn",
                measured=times[most.name],
                limit=1,
                cause=f"{described([f'{b.name} ({b})' for b in again])}: {self.rules[3].cause}",
            )


def _draws_alike(built: Built) -> int:
    """How often the initialiser whose draw is in effect drew for the whole tensor."""
    draws = _whole_draws(built)
    if not draws or draws[-1].is_default:
        return 0
    last = draws[-1]
    mine = last.what, last.inner, last.inner_arguments
    return sum((w.what, w.inner, w.inner_arguments) == mine and not w.is_default for w in draws)


def _severity(built: Built) -> Severity:
    return "error" if built.is_read else "warning"


def layers_of(tensors: list[Built]) -> tuple[str, ...]:
    """The layers that hold them, each once; `layer_of` names those that the model itself holds."""
    return tuple(dict.fromkeys(built.layer or layer_of(built.name) for built in tensors))


def _share(built: Built) -> str:
    if built.unwritten >= 1:
        lost = " (its values went with the memory that it had before)"
        return f"{built.kind} {built.name}{lost if built.had_values else ''}"
    return f"{percent(built.unwritten)} of {built.kind} {built.name}"


def described(names: list[str], most: int = 4) -> str:
    """The first of them, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


_Site = tuple[str, str, int]


def _overdrawn(facts: ConstructionFacts) -> dict[str, list[Built]]:
    """Deliberate draws and the broader ones that replaced them, in words, with the weights."""
    pairs = [
        (built, first, later)
        for built in facts.tensors
        if len(built.writes) > 1
        for first, later in pairwise(_whole_draws(built))
        if not first.is_default and first.what != later.what
    ]
    passes = _Passes.of(facts) if pairs else None
    found: dict[str, list[Built]] = {}
    for built, first, later in pairs:
        if passes and passes.is_undone(first, later):
            found.setdefault(f"{first}, then {later}", []).append(built)
    return found


def _whole_draws(built: Built) -> list[Write]:
    return [w for w in built.writes if w.draws and w.replaces and w.share >= 1]


@dataclass(frozen=True)
class _Passes:
    """What each line and each function wrote to, and when."""

    reach: dict[_Site, set[str]]
    times: dict[_Site, list[int]]

    @classmethod
    def of(cls, facts: ConstructionFacts) -> _Passes:
        made = cls({}, {})
        for built in facts.tensors:
            for write in built.writes:
                for site in (_line(write), _function(write)):
                    made.reach.setdefault(site, set()).add(built.name)
                    made.times.setdefault(site, []).append(write.order)
        return made

    def is_undone(self, first: Write, later: Write) -> bool:
        """Whether the later line writes to more, and only after the first has done its work.

        Where one function draws for all layers and then anew for some, layer by layer, it is at
        work again after the second draw: there the second is the particular one.
        """
        is_broader = self.reach[_line(first)] < self.reach[_line(later)]
        of = _line if _function(first) == _function(later) else _function
        return is_broader and max(self.times[of(first)]) < min(self.times[_line(later)])


def _line(write: Write) -> _Site:
    return write.call, write.file, write.line


def _function(write: Write) -> _Site:
    return write.function, write.file, 0
