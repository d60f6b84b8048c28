"""False alarms on healthy zoos: models of torchvision, timm and transformers, freshly initialised.

Run: ``python benchmarks/zoo.py [NAME …] [--zoo timm] [--most 45] [--seed 0] [--every N]
[--thorough]``, where ``--most`` is in millions of parameters, the zoo is torchvision unless told
otherwise, and ``--every`` takes one of so many models. Image models see
four random images of the smallest size that they accept, with random labels and cross-entropy;
transformers are built from shrunken default configurations and see random tokens, images or
sounds with their own loss. Prints a line per model and a summary, with how often each rule was
raised; nothing is asserted. A model that cannot be built so is "skipped",
one on which the diagnosis itself raises "crashed".
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from pytest_initcheck import InitcheckError, diagnose
from pytest_initcheck.diagnosis import Diagnosis

SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 299, 384)


class Zoo(Protocol):
    """Names of models, and for each the ways to build it, to be tried in order."""

    most: int

    def names(self) -> list[str]: ...

    def ways(self, name: str) -> list[Any]: ...

    def build(self, name: str, way: Any) -> nn.Module: ...

    def batch(self, model: nn.Module, name: str, way: Any) -> Any: ...


class Torchvision:
    """torchvision's classification models."""

    most = 70

    def __init__(self) -> None:
        self._models = importlib.import_module("torchvision.models")

    def names(self) -> list[str]:
        return self._models.list_models(self._models)

    def ways(self, name: str) -> list[Any]:
        return list(SIZES)

    def build(self, name: str, way: Any) -> nn.Module:
        return self._models.get_model(name, weights=None)

    def batch(self, model: nn.Module, name: str, way: Any) -> Any:
        return torch.randn(4, 3, way, way), torch.randint(0, 1000, (4,))


class Timm:
    """timm's models."""

    most = 45

    def __init__(self) -> None:
        self._timm = importlib.import_module("timm")

    def names(self) -> list[str]:
        return self._timm.list_models()

    def ways(self, name: str) -> list[Any]:
        return [(side, options) for side in SIZES for options in ({"img_size": side}, {})]

    def build(self, name: str, way: Any) -> nn.Module:
        model = self._timm.create_model(name, pretrained=False, **way[1])
        if not model.num_classes:
            model.reset_classifier(1000)
        return model

    def batch(self, model: Any, name: str, way: Any) -> Any:
        channels = model.pretrained_cfg.get("input_size", (3,))[0]
        images = torch.randn(4, channels, way[0], way[0])
        return images, torch.randint(0, model.num_classes, (4,))


class Transformers:
    """transformers' models of each type and task, a few layers of 64 units each."""

    most = 45
    tasks: ClassVar = {
        "CausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
        "MaskedLM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
        "Seq2SeqLM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
        "SequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        "TokenClassification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
        "ImageClassification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
        "AudioClassification": "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
    }
    vocabulary, length, side = 256, 32, 64
    # By what a field's name means, in all the spellings that configurations use.
    sizes: ClassVar = {
        256: "vocab_size src_vocab_size tgt_vocab_size decoder_vocab_size "
        "vocab_size_per_layer_input",
        64: "hidden_size d_model n_embd dim embed_dim embedding_size emb_dim decoder_hidden_size "
        "hidden_dim input_embedding_size encoder_hidden_size lru_width moe_intermediate_size "
        "expert_ffn_hidden_size image_size",
        4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads "
        "decoder_attention_heads num_experts num_local_experts n_routed_experts moe_num_experts",
        2: "num_key_value_heads num_kv_heads n_head_kv num_experts_per_tok moe_topk moe_k "
        "experts_per_token num_experts_per_token",
        3: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers "
        "num_encoder_layers num_decoder_layers",
        16: "head_dim d_kv attention_head_dim v_head_dim qk_nope_head_dim qk_rope_head_dim "
        "kv_channels",
        8: "rotary_dim",
        32: "q_lora_rank kv_lora_rank",
        128: "intermediate_size ffn_dim d_ff n_inner ffn_hidden_size encoder_ffn_dim d_inner "
        "decoder_ffn_dim inner_dim intermediate_size_mlp shared_expert_intermediate_size "
        "max_position_embeddings n_positions n_ctx max_seq_len",
        1: "n_group topk_group first_k_dense_replace",
    }

    def __init__(self) -> None:
        self._library = importlib.import_module("transformers")
        self._auto = importlib.import_module("transformers.models.auto.modeling_auto")
        self._field = {f: size for size, fields in self.sizes.items() for f in fields.split()}

    def names(self) -> list[str]:
        return [f"{kind}:{task}" for task, at in self.tasks.items() for kind in self._kinds(at)]

    def _kinds(self, mapping: str) -> list[str]:
        return sorted(getattr(self._auto, mapping, {}))

    def ways(self, name: str) -> list[Any]:
        return [None]

    def build(self, name: str, way: Any) -> nn.Module:
        kind, task = name.split(":")
        known = self._library.CONFIG_MAPPING[kind]
        fields = self._shrunk(known().to_dict())
        for key in ("model_type", "transformers_version", "dtype", "id2label", "label2id"):
            fields.pop(key, None)
        factory = getattr(self._library, f"AutoModelFor{task}")
        tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        config = known(**{**fields, **tokens, "decoder_start_token_id": 0, "num_labels": 3})
        return factory.from_config(config, dtype=torch.float32)

    def _shrunk(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a configuration, and of those inside it, at the size of a toy."""
        found: dict[str, Any] = {}
        for key, value in fields.items():
            if isinstance(value, dict) and key.endswith("_config"):
                found[key] = self._shrunk(value)
            elif key in self._field and type(value) in (int, float):
                found[key] = self._field[key]
            elif key not in ("layer_types", "mlp_layer_types", "layers_block_type"):
                found[key] = value
        if "kv_lora_rank" in found:
            # Attention that shares a latent has a key of its own for each head.
            found["num_key_value_heads"] = found["num_attention_heads"]
        return found

    def batch(self, model: Any, name: str, way: Any) -> Any:
        task, config = name.split(":")[1], model.config
        many = task in ("CausalLM", "MaskedLM", "Seq2SeqLM", "TokenClassification")
        words = task.endswith("LM")
        labels = torch.randint(
            3, self.vocabulary if words else 6, (4, self.length) if many else (4,)
        )
        data = self._data(model, task, config)
        return {**data, "labels": labels if words else labels - 3}

    def _data(self, model: nn.Module, task: str, config: Any) -> dict[str, torch.Tensor]:
        if task == "ImageClassification":
            side = getattr(config, "image_size", self.side)
            shape = side if isinstance(side, (list, tuple)) else (side, side)
            return {"pixel_values": torch.randn(4, getattr(config, "num_channels", 3), *shape)}
        if task == "AudioClassification":
            return {"input_values": torch.randn(4, 8000)}
        return {"input_ids": torch.randint(3, self.vocabulary, (4, self.length))}


ZOOS: dict[str, type[Zoo]] = {
    "torchvision": Torchvision,
    "timm": Timm,
    "transformers": Transformers,
}


def size_of(zoo: Zoo, name: str) -> int:
    """Millions of parameters, without allocating them where the builder can do without values.

    0 where nothing can be built: `judged` tells why.
    """
    way = zoo.ways(name)[-1]
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                model = zoo.build(name, way)
        except Exception:
            continue
        return sum(p.numel() for p in model.parameters()) // 1_000_000
    return 0


def judged(zoo: Zoo, name: str, seed: int, *, thorough: bool = False) -> tuple[Any, Diagnosis]:
    """The first way that works, and the diagnosis; what the last one raised where none does."""
    for way in zoo.ways(name):
        torch.manual_seed(seed)
        try:
            model = zoo.build(name, way)
            batch = zoo.batch(model, name, way)
        except Exception as error:
            # Each library has errors of its own for a size or a configuration that it refuses.
            refusal = error
            continue
        try:
            return way, diagnose(model, batch, thorough=thorough)
        except InitcheckError as error:
            refusal = error
    raise InitcheckError(f"{type(refusal).__name__}: {refusal}") from refusal


def lines(
    zoo: Zoo, name: str, most: int, seed: int, *, thorough: bool = False
) -> Iterator[tuple[str, str]]:
    """The verdict with the line that states it, then one line for each finding, with its id."""
    began = time.perf_counter()
    try:
        if size_of(zoo, name) > most:
            return
        way, diagnosis = judged(zoo, name, seed, thorough=thorough)
    except InitcheckError as error:
        yield "skipped", f"{name}: skipped ({str(error)[:120]})"
        return
    except Exception as error:
        yield "crashed", f"{name}: crashed ({type(error).__name__}: {str(error)[:120]})"
        return
    side = way[0] if isinstance(way, tuple) else way
    shape = f"{side}×{side}, " if side else ""
    seconds = time.perf_counter() - began
    yield diagnosis.verdict, f"{name}: {diagnosis.verdict} ({shape}{seconds:.0f} s)"
    if diagnosis.learning is not None:
        yield "", f"    {diagnosis.learning}"
    for finding in diagnosis.findings:
        loud = finding.id if finding.severity != "info" else ""
        yield loud, f"    {finding}"


def opened(name: str) -> Zoo:
    """The zoo of that name; ends the program where its library is missing."""
    try:
        return ZOOS[name]()
    except ImportError as error:
        raise SystemExit(f"--zoo {name} needs {name}: pip install {name} ({error})") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--zoo", choices=ZOOS, default="torchvision")
    parser.add_argument("--most", type=int, help="millions of parameters")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="one of so many models")
    parser.add_argument("--thorough", action="store_true", help="ask whether each fits its batch")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    zoo = opened(options.zoo)
    most = zoo.most if options.most is None else options.most
    told: Counter[str] = Counter()
    for name in (options.names or zoo.names())[:: options.every]:
        for word, line in lines(zoo, name, most, options.seed, thorough=options.thorough):
            told[word] += bool(word)
            print(line, flush=True)
    verdicts = {word: count for word, count in told.items() if count and not word.startswith("IC")}
    rules = {word: count for word, count in sorted(told.items()) if word.startswith("IC")}
    print(f"{sum(verdicts.values())} models: {verdicts}; findings by rule: {rules}")


if __name__ == "__main__":
    main()
