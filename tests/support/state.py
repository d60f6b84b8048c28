"""A fingerprint of a model, its data and the process, to show that a diagnosis leaves no trace."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.parameter import is_lazy

GLOBAL_HOOKS = [name for name in vars(torch_module) if "hooks" in name and name.startswith("_glob")]
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def fingerprint(model: nn.Module, batch: Any = None) -> dict[str, Any]:
    """All that must be the same before and after, keyed by what it is."""
    return {**_modules(model), **_tensors(model), **_data(batch), **process()}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is not the same, one line each; empty where nothing has changed."""
    return [
        f"{key}: {before.get(key, 'not there')} became {after.get(key, 'not there')}"
        for key in (*before, *(key for key in after if key not in before))
        if key not in before or key not in after or before[key] != after[key]
    ]


def process() -> dict[str, Any]:
    """The random streams and all switches of torch that act on a whole process."""
    cuda, flags = torch.backends.cuda, torch.backends
    result: dict[str, Any] = {
        "stream of Python": random.getstate(),
        "stream of numpy": _stream_of_numpy(),
        "stream of torch": _bits(torch.get_rng_state()),
        "mkldnn": flags.mkldnn.enabled,
        "cudnn": (flags.cudnn.enabled, flags.cudnn.benchmark, flags.cudnn.deterministic),
        "attention": (
            cuda.flash_sdp_enabled(),
            cuda.mem_efficient_sdp_enabled(),
            cuda.math_sdp_enabled(),
            cuda.cudnn_sdp_enabled(),
        ),
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "interceptors": (
            torch._C._len_torch_dispatch_stack(),
            torch._C._len_torch_function_stack(),
        ),
    }
    for name in GLOBAL_HOOKS:
        result[f"global {name}"] = _content(getattr(torch_module, name))
    if torch.cuda.is_initialized():
        result["streams of CUDA"] = [_bits(state) for state in torch.cuda.get_rng_state_all()]
    return result


def _modules(model: nn.Module) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for path, module in model.named_modules():
        own = vars(module)
        result[f"{path}: class"] = type(module)
        result[f"{path}: training"] = module.training
        result[f"{path}: attributes"] = sorted(own)
        for name in (name for name in own if "hooks" in name):
            result[f"{path}: {name}"] = _content(own[name])
    return result


def _tensors(model: nn.Module) -> dict[str, Any]:
    """Parameters, buffers (persistent or not) and plain tensors that modules hold."""
    found = dict(model.named_parameters(remove_duplicate=False))
    found |= dict(model.named_buffers(remove_duplicate=False))
    for path, module in model.named_modules():
        plain = {f"{path}.{name}": value for name, value in vars(module).items()}
        found |= {name: value for name, value in plain.items() if isinstance(value, Tensor)}
    return {f"tensor {name}": _facts(tensor) for name, tensor in found.items()}


def _data(batch: Any) -> dict[str, Any]:
    if isinstance(batch, Tensor):
        return {"batch": _facts(batch)}
    items = batch.items() if isinstance(batch, Mapping) else enumerate(batch or ())
    inner = ((key, _data(value)) for key, value in items if not isinstance(value, (str, bytes)))
    return {f"{name} {key}": facts for key, found in inner for name, facts in found.items()}


def _facts(tensor: Tensor) -> tuple[Any, ...]:
    """Identity and bits of a tensor, and of its gradient."""
    hooks = tuple(_content(getattr(tensor, name, None)) for name in TENSOR_HOOKS)
    grad = tensor.grad if tensor.is_leaf else None
    facts = (id(tensor), type(tensor), tensor.dtype, tensor.device, tensor.requires_grad, hooks)
    if is_lazy(tensor):
        return (*facts, "no values yet", grad)
    place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), _bits(tensor))
    return (*facts, *place, None if grad is None else (id(grad), _bits(grad)))


def _content(holder: Any) -> Any:
    """What a holder of hooks holds, by identity; a flag as it is."""
    if isinstance(holder, Mapping):
        return tuple((key, id(value)) for key, value in holder.items())
    return tuple(map(id, holder)) if isinstance(holder, (list, tuple, set)) else holder


def _bits(tensor: Tensor) -> str:
    plain = tensor.detach()
    plain = plain.to_dense() if plain.is_sparse else plain
    return _digest(plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def _stream_of_numpy() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()
    return (name, _digest(keys.tobytes()), *rest)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


class Everything(nn.Module):
    """Holds and changes all that a model can: statistics, lists, generators, counters."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(1, 4, 3)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.3)
        self.body = nn.LSTM(6, 5, batch_first=True)
        self.frozen = nn.Linear(5, 5).requires_grad_(False)
        self.head = nn.Linear(5, 3)
        self.tied = nn.Linear(5, 3, bias=False)
        self.tied.weight = self.head.weight
        self.unit = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))
        self.register_buffer("mean", torch.zeros(3))
        self.generator = torch.Generator().manual_seed(3)
        self.python, self.numpy = random.Random(3), np.random.default_rng(3)
        self.calls, self.history, self.recent = 0, [], deque(maxlen=2)
        self.state = {"seen": set(), "nested": {"last": None}}
        self.cache, self.plain = None, torch.zeros(3)
        self.norm.eval()

    def forward(self, x):
        x.mul_(0.5)
        h = self.norm(torch.relu_(self.stem(x[:, None])))
        h = self.frozen(self.body(self.drop(h))[0][:, -1])
        out = self.unit(self.head(h) + self.tied(h))
        noise = torch.rand(1, generator=self.generator).item() + self.python.random()
        out = out + 0.01 * (noise + self.numpy.random() + random.random() + np.random.rand())
        with torch.no_grad():
            self.mean.mul_(0.9).add_(0.1 * out.mean(0))
            self.plain += 1
        self.calls += 1
        self.history.append(out)
        self.recent.append(self.calls)
        self.state["seen"].add(self.calls)
        self.state["nested"]["last"] = self.calls
        self.cache = out
        return out
