"""What SARIF 2.1.0 asks of a log, as far as this package writes one; sections of the standard.

Logs that pass here were held against the schema of the standard with jsonschema, and given to
Microsoft's Sarif.Multitool 5.7.0 (``validate --rule-kind "Sarif;Ghas"``): neither found an error.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_LEVELS = {"none", "note", "warning", "error"}
_ALLOWED = {
    "log": {"$schema", "version", "runs"},
    "run": {"tool", "columnKind", "results"},
    "driver": {"name", "version", "informationUri", "rules"},
    "rule": {
        "id", "name", "shortDescription", "fullDescription", "help", "helpUri",
        "defaultConfiguration",
    },
    "result": {
        "ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints",
        "suppressions",
    },
    "location": {"physicalLocation", "logicalLocations"},
    "logical": {"name", "fullyQualifiedName", "kind"},
}  # fmt: skip


def faults(log):
    """What in the log is not as the standard says, one line each."""
    found = list(_unknown(log, "log"))
    if log.get("version") != "2.1.0":
        found.append("3.13.2: version is '2.1.0'")
    if not _is_uri(log.get("$schema")):
        found.append("3.13.3: $schema is an absolute URI")
    if not isinstance(log.get("runs"), list):
        return [*found, "3.13.4: runs is an array"]
    for run in log["runs"]:
        found += _run(run)
    return found


def _run(run):
    yield from _unknown(run, "run")
    driver = run.get("tool", {}).get("driver", {})
    yield from _unknown(driver, "driver")
    if not driver.get("name"):
        yield "3.19.8: a tool component has a name"
    if run.get("columnKind") not in ("utf16CodeUnits", "unicodeCodePoints"):
        yield "3.14.17: columnKind is one of two"
    rules = driver.get("rules", [])
    if len({rule.get("id") for rule in rules}) != len(rules):
        yield "3.19.23: rules are unique"
    for rule in rules:
        yield from _rule(rule)
    for result in run.get("results", ()):
        yield from _result(result, rules)


def _rule(rule):
    yield from _unknown(rule, "rule")
    if not rule.get("id"):
        yield "3.49.3: a rule has an id"
    for key in ("shortDescription", "fullDescription", "help"):
        if not rule.get(key, {}).get("text"):
            yield f"3.12.3: {key} has a text"
    if "helpUri" in rule and not _is_uri(rule["helpUri"]):
        yield "3.49.12: helpUri is an absolute URI"
    if rule.get("defaultConfiguration", {}).get("level") not in _LEVELS:
        yield "3.50.3: the level is one of four"


def _result(result, rules):
    yield from _unknown(result, "result")
    index = result.get("ruleIndex", -1)
    if not (0 <= index < len(rules) and rules[index]["id"] == result.get("ruleId")):
        yield "3.27.6: ruleIndex is that of the rule with ruleId"
    if result.get("level") not in _LEVELS:
        yield "3.27.10: the level is one of four"
    if not result.get("message", {}).get("text"):
        yield "3.11.7: a message has a text"
    if not all(isinstance(x, str) and x for x in result.get("partialFingerprints", {}).values()):
        yield "3.27.17: fingerprints are strings"
    for suppression in result.get("suppressions", ()):
        if suppression.get("kind") not in ("inSource", "external"):
            yield "3.35.2: the kind of a suppression is one of two"
    for location in result.get("locations", ()):
        yield from _location(location)


def _location(location):
    yield from _unknown(location, "location")
    for logical in location.get("logicalLocations", ()):
        yield from _unknown(logical, "logical")
        if not (logical.get("name") or logical.get("fullyQualifiedName")):
            yield "3.33.2: a logical location has a name"
    physical = location.get("physicalLocation")
    if physical is None:
        return
    artifact = physical.get("artifactLocation", {})
    uri = artifact.get("uri", "")
    if not re.fullmatch(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", uri):
        yield "3.4.3: the uri is a valid URI reference"
    if ("uriBaseId" in artifact) == bool(urlsplit(uri).scheme):
        yield "3.4.4: a relative uri has a base, an absolute one none"
    if ".." in uri.split("/"):
        yield "3.10.2: the uri is normalised"
    line = physical.get("region", {}).get("startLine")
    if not (isinstance(line, int) and line >= 1):
        yield "3.30.5: startLine is at least 1"


def _unknown(found, kind):
    for key in found.keys() - _ALLOWED[kind]:
        yield f"additionalProperties: {kind} has no {key!r}"


def _is_uri(text):
    return isinstance(text, str) and bool(urlsplit(text).scheme and urlsplit(text).netloc)
