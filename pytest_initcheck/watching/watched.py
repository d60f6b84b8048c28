"""What watching a training has shown, while it runs and afterwards."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_initcheck.capture.layer_records import model_record
from pytest_initcheck.capture.written import optimizer_name, rates
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Curve, ModelRecord, RunRecord
from pytest_initcheck.watching.looks import TrainingLook
from pytest_initcheck.watching.watcher import Watcher

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Watched:
    """The looks at a training that runs inside of `watch`.

    All of it can be read at any time, also after the training has raised.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._meta = _meta(watcher)

    def loss(self, loss: Tensor) -> Tensor:
        """Say what the loss of the step is; returns it. Not needed where ``backward`` is called.

        Of several calls in one step the mean counts.

        Raises:
            InitcheckError: it is no tensor of one number.
        """
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            kind = f"{type(loss).__name__} of shape {tuple(getattr(loss, 'shape', ()))}"
            raise InitcheckError(f"loss: pass the loss as a tensor of one number, not a {kind}")
        if self._watcher.is_due:
            self._watcher.loss.tell(loss)
        return loss

    @property
    def looks(self) -> int:
        """How many steps have been looked at."""
        return len(self._watcher.losses)

    @property
    def record(self) -> ModelRecord:
        """The first look.

        Raises:
            InitcheckError: no step has been taken yet.
        """
        return self.records[0]

    @property
    def after(self) -> ModelRecord:
        """The latest look in full; raises as ``record`` does."""
        return self.records[-1]

    @property
    def records(self) -> tuple[ModelRecord, ...]:
        """The looks in full in the order of the steps: of a long training 64, evenly spaced.

        Raises:
            InitcheckError: no step has been taken yet.
        """
        self.check_seen()
        return tuple(self._record(look) for look in self._watcher.looks)

    def check_seen(self) -> None:
        """Raise an InitcheckError where no step has been taken yet."""
        if not self.looks:
            raise InitcheckError(
                "watch has seen no step: call step() of the optimiser that was passed, inside"
            )

    @property
    def losses(self) -> tuple[float, ...]:
        """The loss of each step that was looked at, NaN where it is not known."""
        return tuple(math.nan if loss is None else loss for loss in self._watcher.losses)

    def run_record(self) -> RunRecord:
        """The training as the record that reports and baselines hold.

        Raises:
            InitcheckError: no step has been taken yet.
        """
        curves: dict[str, tuple[Curve, ...]]
        curves = {name: (tuple(curve),) for name, curve in self._watcher.curves.items()}
        is_known = None not in self._watcher.losses
        return RunRecord(
            curves={"loss": (self.losses,)} if is_known else {},
            before=self.record,
            after=self.after,
            meta=dict(self._meta),
            shown=curves,
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, look and tensor, with its moments; raises as ``record`` does."""
        from pytest_initcheck.report.export import models_frame

        return models_frame(self.records)

    def plot(self) -> Figure:
        """Histograms of weights, activations and gradients per layer, at the first and last look.

        Raises:
            InitcheckError: no step has been taken yet.
        """
        from pytest_initcheck.report.export import models_figure

        return models_figure(self.record, self.after, self.after.moment)

    def _repr_html_(self) -> str:
        from pytest_initcheck.report.notebook import page_of

        return page_of(self)

    def _record(self, look: TrainingLook) -> ModelRecord:
        watcher, step, snapshot = self._watcher, look.step, look.reading.snapshot(look.step)
        record = model_record(
            snapshot,
            {n: p for n, p in watcher.parameters.items() if n in snapshot.parameters},
            look.reading.nodes,
            moment=f"after {step} steps" if step else "start",
            meta=self._meta,
            movement=look.movement,
            not_observed=sorted(watcher.not_observed),
        )
        return dataclasses.replace(record, loss=None) if look.reading.loss is None else record

    def __str__(self) -> str:
        seen = f"{self.looks} looks in {self._watcher.steps} steps"
        known = [f"{loss:.4g}" for loss in (self.losses[:1] + self.losses[-1:])]
        return f"{seen}, loss {' to '.join(known)}" if known else seen


def _meta(watcher: Watcher) -> dict[str, str]:
    parameter = next(watcher.model.parameters())
    return {
        "model": type(watcher.model).__name__,
        "optimizer": optimizer_name(watcher.optimizer),
        "lr": rates(watcher.optimizer),
        "every": str(watcher.every),
        "device": parameter.device.type,
        "dtype": str(parameter.dtype).removeprefix("torch."),
    }
