"""Writers of residual streams that are not initialised as they should be."""

from __future__ import annotations

from ..case import BAD, FAIL
from ..causes import DEPTH, ONE_UNLIKE
from .builders import language, redrawn, row, times
from .designs import Llama
from .modules import Clvp, Gpt2, Gpt2Repaired, Language, Llama2C, Marian, Tenstorrent

CASES = [
    row("GPT-2, names that are never equal", language(Gpt2), FAIL, DEPTH),
    row("CLVP, names that are never equal", language(Clvp), FAIL, DEPTH, "h.0.mlp.c_proj"),
    row("llama2.c, the gate in place of the writer", language(Llama2C), FAIL, DEPTH, "h.0.mlp.w2"),
    row("tt-train, one std for two fans", language(Tenstorrent), BAD, DEPTH, "h.0.mlp.c_proj"),
    row("Marian, a factor that is dropped", language(Marian), FAIL, DEPTH, "h.0.w2"),
    row("asked for and not scaled", language(Language, depth_scaled=True), FAIL, DEPTH),
    row("one writer ten times too large",
        language(Llama, times("h.2.mlp.w2.weight", 10)), FAIL, ONE_UNLIKE, "h.2.mlp.w2"),
    row("one writer three times too small",
        language(Llama, times("h.1.attn.c_proj.weight", 0.3)), FAIL, ONE_UNLIKE, "h.1.attn.c_proj"),
    row("the last writer as torch draws it",
        language(Gpt2Repaired, redrawn("h.3.mlp.c_proj")), FAIL, ONE_UNLIKE, "h.3.mlp.c_proj"),
]  # fmt: skip
