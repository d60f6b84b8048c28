"""Transformers' models of each type and task, a few layers of 64 units each."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import torch
from torch import nn


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


ZOO = Transformers
