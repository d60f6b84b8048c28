"""The real libraries: lightning, transformers, timm and torchvision, as their users pass them.

They are no dependencies; each test runs where its library is installed (``nox -s libraries``).
"""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck import InitcheckError, check_step, diagnose
from pytest_initcheck.cli import main

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 50,
    "num_labels": 3,
}
SMALL = [f"{name}={value}" for name, value in TINY.items()]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def lit():
    """A LightningModule's class."""
    lightning = pytest.importorskip("lightning")

    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10))

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, batch_idx):
            loss = functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss, prog_bar=True, sync_dist=True)
            return {"loss": loss, "seen": len(batch[0])}

        def configure_optimizers(self):
            adam = torch.optim.AdamW(self.parameters(), lr=2e-3)
            steps = self.trainer.estimated_stepping_batches
            schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 2e-3, total_steps=steps)
            return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    return Lit


def test_a_lightning_module_as_it_is(lit, data, recwarn):
    found = diagnose(lit(), data)
    assert found.record.meta["optimizer"].startswith("AdamW")
    assert "OneCycleLR not stepped" in found.record.meta["taken"]
    assert found.losses[-1] < found.losses[0]
    assert not [warning for warning in recwarn if "self.log" in str(warning.message)]


def test_a_lightning_module_that_optimises_by_hand(lit, data):
    class ByHand(lit):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(functional.cross_entropy(self(batch[0]), batch[1]))
            optimizer.step()

    model = ByHand()
    with pytest.raises(InitcheckError, match="optimises by hand"):
        diagnose(model, data)
    found = check_step(model, model, torch.optim.SGD(model.parameters(), 0.1), data)
    assert not found.findings


def test_a_lightning_step_is_checked_without_a_word_on_its_log(lit, data, recwarn):
    model = lit()
    found = check_step(model, model, torch.optim.SGD(model.parameters(), 0.1), data)
    assert not found.findings
    assert not [warning for warning in recwarn if "self.log" in str(warning.message)]


def test_a_lightning_module_without_a_step_is_a_model(data):
    lightning = pytest.importorskip("lightning")

    class Bare(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(20, 10)

        def forward(self, x):
            return self.net(x)

    assert diagnose(Bare(), data).record.meta["optimizer"] == "SGD"


@pytest.mark.parametrize("form", ["encoding", "lists", "samples"])
def test_a_tokenizers_output_as_it_is(form):
    transformers = pytest.importorskip("transformers")
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**TINY))
    ids, labels = torch.randint(0, 50, (16, 12)), torch.randint(0, 3, (16,))
    fields = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    batch = {
        "encoding": transformers.BatchEncoding(fields),
        "lists": transformers.BatchEncoding({k: v.tolist() for k, v in fields.items()}),
        "samples": [{k: v[i].tolist() for k, v in fields.items()} for i in range(16)],
    }[form]
    found = diagnose(model, batch, optimizer=transformers.Adafactor)
    assert found.record.meta["lr"] == "its own"
    assert "batch['labels'], handed to the model" in found.record.meta["taken"]
    assert found.verdict == "pass"


@pytest.mark.slow
def test_a_detector_by_the_sum_of_its_losses():
    detection = pytest.importorskip("torchvision").models.detection
    model = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=4, min_size=64, max_size=64
    )
    images = [torch.rand(3, 64, 64), torch.rand(3, 48, 64)]
    boxes = torch.tensor([[4.0, 4, 30, 30], [10, 10, 50, 40]])
    targets = [{"boxes": boxes, "labels": torch.tensor([1, 2])} for _ in images]
    found = diagnose(model, (images, targets), steps=1)
    assert set(found.parts) == {
        "loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg",
    }  # fmt: skip
    assert sum(values[0] for values in found.parts.values()) == pytest.approx(found.losses[0])


@pytest.mark.parametrize(
    ("library", "target", "args", "guessed"),
    [
        ("timm", "timm:create_model", ["vit_tiny_patch16_224", "num_classes=10", "depth=2"], "224"),
        ("timm", "timm:resnet10t", ["num_classes=10"], "10 classes"),
        ("transformers", "hf:bert", SMALL, "the model's config"),
        ("transformers", "hf:gpt2", ["n_embd=32", "n_layer=2", "n_head=2"], "the model's config"),
        ("transformers", "hf:BertForTokenClassification", SMALL, "the model's config"),
        ("torchvision", "torchvision:squeezenet1_1", ["num_classes=10"], "10 classes"),
    ],
)
def test_a_model_by_its_name_alone(capsys, library, target, args, guessed):
    pytest.importorskip(library)
    code = main(["check", target, "--json", "--report", "off", "--steps", "1", "--args", *args])
    found = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    assert guessed in " ".join(found["guessed"])
