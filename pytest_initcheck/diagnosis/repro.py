"""A small script that shows again what a diagnosis found, without the test and its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.tree import tensors_of
from pytest_initcheck.diagnosis.diagnose import Diagnosis
from pytest_initcheck.subjects.code import batch_code, import_code, is_importable, model_code

# More numbers than that are no small script.
MOST_NUMBERS = 100_000
_SCRIPT = '''"""{title}: {rules}.

{about}
"""

import torch
from torch import nn

from pytest_initcheck import diagnose
{imports}
torch.manual_seed(0)
model = {model}
# The mean and the deviation of each parameter, and whether its rows are equal.
WEIGHTS = {{
{weights}
}}
with torch.no_grad():
    for name, parameter in model.named_parameters():
        mean, deviation, is_alike = WEIGHTS[name]
        row = torch.randn(parameter.shape[-1:] if is_alike else parameter.shape)
        parameter.copy_((row * deviation + mean).expand(parameter.shape))

batch = {batch}
found = diagnose(model, batch{options})
print(found)
assert {ids} <= {{finding.id for finding in found.findings}}
'''


def repro_script(diagnosis: Diagnosis, title: str, *, with_data: bool = False) -> str:
    """Python that makes a model like the one that was diagnosed, and diagnoses it.

    Weights and data are drawn anew with the mean and deviation that they had; ``with_data``
    writes the data themselves into the script.
    """
    subject = diagnosis.subject
    assert subject is not None
    imports, model, lacking = _model(subject.model)
    more, options = _options(diagnosis)
    errors = {f.id for f in diagnosis.findings if f.severity == "error"}
    ids = sorted(errors or {f.id for f in diagnosis.findings})
    is_small = sum(t.numel() for t in tensors_of(subject.batch)) <= MOST_NUMBERS
    has_data = with_data and is_small
    about = (
        "The data are those of the test."
        if has_data
        else "The data are random, of the shapes and the scale of the test's."
    )
    lines = sorted({*imports, *more})
    return _SCRIPT.format(
        title=title,
        rules=", ".join(ids),
        about=" ".join([about, *lacking]),
        imports="".join(f"{line}\n" for line in lines),
        model=model,
        weights="\n".join(_weights(subject.model)),
        batch=_data(subject.batch) if has_data else batch_code(subject.batch, exact=True),
        options=options,
        ids=repr(set(ids)),
    )


def _model(model: nn.Module) -> tuple[list[str], str, list[str]]:
    found = model_code(model)
    if found is not None:
        return (*found, [])
    kind = type(model)
    imports = [import_code(kind)] if is_importable(kind) else []
    lacking = [f"Give {kind.__qualname__} the arguments that it has in the test."]
    return imports, f"{kind.__qualname__}()", lacking


def _options(diagnosis: Diagnosis) -> tuple[list[str], str]:
    """Imports and further arguments of ``diagnose``."""
    subject, meta = diagnosis.subject, diagnosis.record.meta
    assert subject is not None
    imports, options = [], [f"steps={subject.steps}"]
    functions: tuple[tuple[str, Any], ...] = (
        ("loss_fn", subject.loss_fn),
        ("forward", subject.forward),
    )
    for name, function in functions:
        if isinstance(function, nn.Module) and type(function).__module__.startswith("torch."):
            options.append(f"{name}=nn.{type(function).__name__}({function.extra_repr()})")
        elif is_importable(function):
            imports.append(import_code(function))
            options.append(f"{name}={function.__qualname__}")
    kind = meta.get("optimizer", "").partition("(")[0]
    rate = meta.get("lr", "")
    if hasattr(torch.optim, kind) and _is_number(rate):
        settings = meta["optimizer"].partition("(")[2].removesuffix(")")
        more = f", {settings}" if settings else ""
        options.append(f"optimizer=lambda p: torch.optim.{kind}(p, lr={rate}{more})")
    return imports, "".join(f", {option}" for option in options)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _weights(model: nn.Module) -> list[str]:
    return [f"    {name!r}: {_moments(p.detach())}," for name, p in model.named_parameters()]


def _moments(tensor: Tensor) -> str:
    values = tensor.double() if tensor.numel() else torch.zeros(1)
    rows = values.reshape(-1, values.shape[-1]) if values.dim() > 1 else values.reshape(1, -1)
    is_alike = len(rows) > 1 and bool((rows == rows[:1]).all())
    deviation = float(values.std()) if values.numel() > 1 else 0.0
    return repr((_short(float(values.mean())), _short(deviation), is_alike))


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _data(batch: Any) -> str:
    if isinstance(batch, Tensor):
        return f"torch.tensor({batch.detach().cpu().tolist()!r}, dtype={batch.dtype})"
    if isinstance(batch, Mapping):
        return f"{{{', '.join(f'{key!r}: {_data(value)}' for key, value in batch.items())}}}"
    if isinstance(batch, (tuple, list)):
        inner = ", ".join(map(_data, batch))
        return f"[{inner}]" if isinstance(batch, list) else f"({inner},)"
    return batch_code(batch)
