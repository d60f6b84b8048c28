"""Designs of residual streams that start as their authors meant them to."""

from __future__ import annotations

from ..case import PASS
from . import designs
from .builders import language, row, times, vision
from .modules import (
    ClvpRepaired,
    Gpt2Repaired,
    Language,
    Llama2CRepaired,
    MarianRepaired,
    TenstorrentRepaired,
)


def first_and_last(model):
    """The ends of the stream on a scale of their own."""
    times("h.0.mlp.c_proj.weight", 0.5)(model)
    times("h.3.mlp.c_proj.weight", 2.0)(model)


CASES = [
    row("plain pre-norm", language(Language), PASS),
    row("GPT-2, repaired", language(Gpt2Repaired), PASS),
    row("GPT-2, repaired, and asked for", language(Gpt2Repaired, depth_scaled=True), PASS),
    row("CLVP, repaired", language(ClvpRepaired), PASS),
    row("llama2.c, repaired", language(Llama2CRepaired), PASS),
    row("tt-train, repaired", language(TenstorrentRepaired), PASS),
    row("Marian, repaired", language(MarianRepaired), PASS),
    row("first and last block by intent", language(Language, first_and_last), PASS),
    row("attention scaled, MLP not, by intent", language(designs.Kinds), PASS),
    row("a scaling that is switched off", language(designs.Optional), PASS),
    row("Llama", language(designs.Llama), PASS),
    row("T5", language(designs.T5), PASS),
    row("LayerScale", language(designs.LayerScale), PASS),
    row("CaiT, LayerScale by the depth", language(designs.Cait), PASS),
    row("ReZero", language(designs.ReZero), PASS),
    row("DeepNet", language(designs.DeepNet), PASS),
    row("BEiT, by the place in the depth", language(designs.Beit), PASS),
    row("Fixup", vision(designs.fixup), PASS),
    row("NFNet", vision(designs.free), PASS),
    row("ConvNeXt", vision(designs.convnext), PASS),
    row("ViT", vision(designs.VisionTransformer), PASS),
]  # fmt: skip
