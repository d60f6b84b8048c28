"""What a file holds after an update: the present environment's records, and those of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pytest_initcheck.baseline import admission, format, guards
from pytest_initcheck.baseline.environment import CAPABILITY, DEVICE, Environment, Kept
from pytest_initcheck.baseline.format import Tests
from pytest_initcheck.baseline.stored import Stored
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Entry, RunRecord, TestRecord

_PASSED = ("passed", "xpassed")


class Refused(NamedTuple):
    """An entry that an update did not take, so that its baseline is as it was."""

    nodeid: str
    entry: str
    reason: str

    def __str__(self) -> str:
        return f"{self.nodeid}: {self.entry!r}: {self.reason}"


class Merge:
    """Puts records into what a file holds, and keeps what is refused."""

    def __init__(
        self, provenance: Mapping[str, str], allow: str, *, only_new: bool = False
    ) -> None:
        self.refused: list[Refused] = []
        self.doubts: list[str] = []
        self._only_new = only_new
        self.counts: Counter[str] = Counter()
        self._provenance = _lasting(provenance)
        self._allow = allow

    def content(self, stored: Tests, tests: Iterable[TestRecord]) -> Tests:
        """What the file will hold."""
        content = dict(stored)
        for test in tests:
            name = test.nodeid.partition("::")[2]
            before = content.pop(name, {})
            recorded = {entry.name: entry for entry in test.entries}
            others = {own: kept for own, kept in before.items() if own not in recorded}
            is_whole = test.outcome in _PASSED and not self._only_new
            left = self._elsewhere(others, test) if is_whole else others
            self.counts["dropped"] += _count(others) - _count(left)
            renewed = {
                own: self._renewed(test.nodeid, before.get(own, Kept()), entry)
                for own, entry in recorded.items()
            }
            merged = {own: kept for own, kept in {**left, **renewed}.items() if kept}
            if merged:
                content[name] = merged
        return content

    def _elsewhere(self, others: Mapping[str, Kept], test: TestRecord) -> dict[str, Kept]:
        """Of what a test records no more: what another device, or a newer torch, may record."""
        records = [entry.record for entry in test.entries] or [RunRecord()]
        here = [self._environment(record) for record in records]
        left = {
            name: Kept(
                (key, stored)
                for key, stored in kept.items()
                if not any(Environment.of_stored(stored).is_covered_by(own) for own in here)
            )
            for name, kept in others.items()
        }
        return {name: kept for name, kept in left.items() if kept}

    def _environment(self, record: RunRecord) -> Environment:
        return Environment.of(record, self._provenance)

    def _renewed(self, nodeid: str, kept: Kept, entry: Entry) -> Kept:
        environment = self._environment(entry.record)
        own = kept.own(environment)
        if own is not None and (self._only_new or _fits(own, entry)):
            return self._counted("unchanged", kept)
        try:
            stored = admission.storable(entry, self._made(environment, entry))
            nearest = own or kept.nearest(environment)
            if nearest is not None and format.same_values(nearest, stored):
                return self._counted("unchanged", kept)
            reason = admission.refusal(entry, self._allow)
        except InitcheckError as error:
            reason = str(error)
        if reason:
            self.refused.append(Refused(nodeid, entry.name, reason))
            return self._counted("refused", kept)
        self.doubts += (f"{nodeid}: {entry.name!r}: {why}" for why in guards.doubts(entry.record))
        renewed = Kept.only(*kept.without(own).values(), stored)
        return self._counted("created" if own is None else "updated", renewed)

    def _made(self, environment: Environment, entry: Entry) -> dict[str, str]:
        """The provenance of one record: of the session's devices it has its own."""
        made = self._provenance | admission.judgement(entry, self._allow)
        if DEVICE in made and environment.device:
            made[DEVICE] = environment.device
        if environment.capability:
            made[CAPABILITY] = environment.capability
        return made

    def _counted(self, effect: str, kept: Kept) -> Kept:
        self.counts[effect] += 1
        return kept


def without(tests: Tests, words: str) -> Tests:
    """Tests less their records of the environments that are so described."""
    found: Tests = {}
    for test, entries in tests.items():
        for name, kept in entries.items():
            pairs = kept.items()
            left = {k: s for k, s in pairs if not Environment.of_stored(s).fits(words)}
            if left:
                found.setdefault(test, {})[name] = Kept(left)
    return found


def _count(entries: Mapping[str, Kept]) -> int:
    return sum(map(len, entries.values()))


def _fits(before: Stored, entry: Entry) -> bool:
    """Whether the test itself found that its record fits this very baseline, in all it holds."""
    known = entry.comparison
    is_whole = known is not None and known.status == "match" and not known.notes
    return is_whole and known is not None and known.expected == before.expected()


def _lasting(provenance: Mapping[str, str]) -> dict[str, str]:
    """Without the time and the kernel, which would make every update a change and explain none."""
    kept = {key: value for key, value in provenance.items() if key != "time"}
    if "platform" in kept:
        kept["platform"] = kept["platform"].partition("-")[0]
    return kept
