"""The checks: each reads evidence and yields findings; see ``judge``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_initcheck.checks.activation_growth import Growth
from pytest_initcheck.checks.attention_heads import Heads
from pytest_initcheck.checks.causes import attach, outranked
from pytest_initcheck.checks.construction import WrittenValues
from pytest_initcheck.checks.contract import Contract
from pytest_initcheck.checks.copied_layers import Copies
from pytest_initcheck.checks.dead_units import DeadUnits
from pytest_initcheck.checks.depth import Gradients
from pytest_initcheck.checks.depth_scaling import DepthScaling
from pytest_initcheck.checks.draw_law import DrawLaw
from pytest_initcheck.checks.draws import Draws
from pytest_initcheck.checks.experts import Experts
from pytest_initcheck.checks.external_rules import external_rules
from pytest_initcheck.checks.fits_batch import Fit
from pytest_initcheck.checks.grouped_fan_out import GroupedFan
from pytest_initcheck.checks.handwritten import Handwritten
from pytest_initcheck.checks.ineffective_init import IneffectiveInit
from pytest_initcheck.checks.initial_loss import InitialLoss
from pytest_initcheck.checks.inplace_inputs import Rewritten
from pytest_initcheck.checks.input_scale import InputScale
from pytest_initcheck.checks.installed import installed
from pytest_initcheck.checks.leaks import Leaks
from pytest_initcheck.checks.left_out import LeftOut
from pytest_initcheck.checks.linear_model import LinearModel
from pytest_initcheck.checks.lost_steps import LostSteps
from pytest_initcheck.checks.mixed_axes import MixedAxes
from pytest_initcheck.checks.no_gradient import Unreached
from pytest_initcheck.checks.nonfinite import NonFinite
from pytest_initcheck.checks.odd_buffers import OddBuffers
from pytest_initcheck.checks.optimiser import Optimiser
from pytest_initcheck.checks.posterior_collapse import Collapse
from pytest_initcheck.checks.rule import Check, Rule
from pytest_initcheck.checks.saturation import Saturation
from pytest_initcheck.checks.sharding import Sharding
from pytest_initcheck.checks.sibling_scales import Siblings
from pytest_initcheck.checks.step_size import Movement
from pytest_initcheck.checks.stream_size import StreamSize
from pytest_initcheck.checks.symmetry import Symmetry
from pytest_initcheck.checks.targets import Targets
from pytest_initcheck.checks.uninitialised import UninitialisedMemory
from pytest_initcheck.checks.wrong_fan import WrongFan
from pytest_initcheck.checks.wrong_gain import WrongGain
from pytest_initcheck.checks.zero_weights import ZeroWeights
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.extensions import CHECK_PROTOCOL as PROTOCOL
from pytest_initcheck.records import RANK, Finding

__all__ = ["PROTOCOL", "Check", "Rule", "available", "judge", "registered", "rules"]


def registered() -> list[Check]:
    """The built-in checks, from root causes to what follows from them.

    This list is their registration: a new check is one module, one import and one line here.
    """
    found: list[Check] = [
        NonFinite(),
        WrittenValues(),
        Draws(),
        Sharding(),
        UninitialisedMemory(),
        OddBuffers(),
        InputScale(),
        MixedAxes(),
        Leaks(),
        Contract(),
        LeftOut(),
        Collapse(),
        Targets(),
        Optimiser(),
        ZeroWeights(),
        Symmetry(),
        DeadUnits(),
        Saturation(),
        Heads(),
        Experts(),
        Siblings(),
        DepthScaling(),
        LinearModel(),
        Unreached(),
        Handwritten(),
        Gradients(),
        InitialLoss(),
        Growth(),
        StreamSize(),
        Movement(),
        LostSteps(),
        Copies(),
        IneffectiveInit(),
        Rewritten(),
        GroupedFan(),
        WrongFan(),
        WrongGain(),
        DrawLaw(),
    ]
    return [*found, Fit(found)]


def available() -> list[Check]:
    """The built-in checks and those that other distributions bring.

    Raises:
        InitcheckError: one of a distribution is broken; the message names it.
    """
    builtin = registered()
    return [*builtin, *installed(builtin)]


def rules(checks: Iterable[Check] | None = None) -> list[Rule]:
    """Every rule of the checks, by id; by default of all that are available and of what is found
    outside of them."""
    found = [rule for check in checks or available() for rule in check.rules]
    if checks is None:
        found += [rule for _, rule in external_rules()]
    return sorted(found, key=lambda rule: rule.id)


def judge(evidence: Evidence, checks: Sequence[Check] | None = None) -> list[Finding]:
    """Run the checks; findings come worst first, root causes before what follows from them."""
    checks = available() if checks is None else list(checks)
    findings = [found for check in checks for found in check.run(evidence)]
    by_id = {rule.id: rule for check in checks for rule in check.rules}
    if any(rule.surrogate for rule in by_id.values()) and evidence.trajectory.has_learnt:
        findings = [outranked(found, by_id) for found in findings]
    return sorted(attach(findings, by_id), key=lambda finding: RANK[finding.severity])
