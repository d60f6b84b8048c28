"""Legitimate patterns that naive rules take for faults: nothing may be said about them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from .case import PASS, Case, Start
from .nets import classes, cnn, constant, each, he, mlp, pictures, sequences, tokens


def images(count=8, size=32, kinds=10):
    return torch.randn(count, 3, size, size), torch.randint(0, kinds, (count,))


def zoo(name, *, size=64, **options):
    """A torchvision model on random images."""

    def build():
        import torchvision

        model = getattr(torchvision.models, name)(weights=None, num_classes=10, **options)
        return Start(model, images(4, size))

    return build


class AdaNorm(nn.Module):
    """Blocks modulated by a condition, whose modulation and head start at zero."""

    def __init__(self, width=32):
        super().__init__()
        self.embed, self.condition = nn.Linear(20, width), nn.Linear(20, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(3))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(3))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(3))
        self.head = nn.Linear(width, 3)
        each(self.modulate, constant(0.0))
        constant(0.0)(self.head)

    def forward(self, x):
        h, c = self.embed(x), functional.silu(self.condition(x))
        for modulate, up, down in zip(self.modulate, self.up, self.down, strict=True):
            shift, scale, gate = modulate(c).chunk(3, -1)
            h = h + gate * down(functional.gelu(up(self.norm(h) * (1 + scale) + shift)))
        return self.head(h)


class ZeroBranch(nn.Module):
    """A zero convolution that adds a controlled branch."""

    def __init__(self):
        super().__init__()
        self.stem, self.zero = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 10)
        constant(0.0)(self.zero)

    def forward(self, x):
        h = functional.relu(self.stem(x))
        return self.head((h + self.zero(functional.silu(h))).mean((2, 3)))


class Scaled(nn.Module):
    """LayerScale, ReZero gains and a position table that start small or at zero."""

    def __init__(self, depth=6):
        super().__init__()
        self.stem, self.head = nn.Linear(20, 32), nn.Linear(32, 3)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.more = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.gamma = nn.ParameterList(nn.Parameter(torch.full((32,), 1e-6)) for _ in range(depth))
        self.gain = nn.Parameter(torch.zeros(depth))
        self.position = nn.Parameter(torch.zeros(32))

    def forward(self, x):
        h = self.stem(x) + self.position
        for layer, more, gamma, gain in zip(
            self.layers, self.more, self.gamma, self.gain, strict=True
        ):
            h = h + gamma * functional.gelu(layer(h))
            h = h + gain * torch.tanh(more(h))
        return self.head(h)


class Contrast(nn.Module):
    """Two encoders whose cosine similarities are multiplied by a learnt logit scale."""

    def __init__(self):
        super().__init__()
        self.left, self.right = mlp(nn.GELU, 20, 32, 16), mlp(nn.GELU, 12, 32, 16)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, left, right):
        a, b = functional.normalize(self.left(left)), functional.normalize(self.right(right))
        return a @ b.T * self.scale.exp()


class GemmaNorm(nn.Module):
    """An RMS norm whose weight is stored as its difference from one."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(20, 32), nn.Linear(32, 3)
        self.weight = nn.Parameter(torch.zeros(32))

    def forward(self, x):
        h = self.body(x)
        h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6)
        return self.head(functional.relu(h * (1 + self.weight)))


class Positions(nn.Module):
    """Sinusoidal tables, frozen and trained, with class and mask tokens of zero."""

    def __init__(self):
        super().__init__()
        angle = torch.arange(11)[:, None] / 10000 ** (torch.arange(0, 32, 2) / 32)
        table = torch.cat([angle.sin(), angle.cos()], 1)
        self.fixed = nn.Parameter(table, requires_grad=False)
        self.learnt = nn.Parameter(table.clone())
        self.cls = nn.Parameter(torch.zeros(1, 1, 32))
        self.mask = nn.Parameter(torch.zeros(1, 1, 32))
        self.embedding = nn.Embedding(50, 32, padding_idx=0)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, ids):
        h = self.embedding(ids)
        h = torch.where((ids == 7)[..., None], self.mask, h)
        h = torch.cat([self.cls.expand(len(ids), -1, -1), h], 1)
        return self.head(self.block(h + self.fixed + self.learnt)[:, 0])


def identity(indices):
    def build():
        model = mlp(nn.ReLU, 20, 20, 20, 20, 3)
        for index in indices:
            nn.init.eye_(model[index].weight)
        return Start(model, classes())

    return build


def dirac():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 1024, 10),
    )  # fmt: skip
    nn.init.dirac_(model[2].weight)
    return Start(model, images())


class Decoder(nn.Module):
    """A small GPT: N(0, .02²), scaled residual projections, output tied to the embedding."""

    def __init__(self, depth=3, width=64, vocabulary=100):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.zeros(1, 16, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.project = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(depth))
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                small = name.startswith(("project", "down"))
                nn.init.normal_(parameter, 0, 0.02 / math.sqrt(2 * depth) if small else 0.02)

    def forward(self, ids):
        h = self.embedding(ids) + self.position[:, : ids.shape[1]]
        for i in range(len(self.qkv)):
            q, k, v = self.qkv[i](self.norms[2 * i](h)).unflatten(-1, (3, 4, -1)).unbind(-3)
            heads = functional.scaled_dot_product_attention(
                *(part.transpose(1, 2) for part in (q, k, v)), is_causal=True
            )
            h = h + self.project[i](heads.transpose(1, 2).flatten(2))
            h = h + self.down[i](functional.gelu(self.up[i](self.norms[2 * i + 1](h))))
        return self.head(self.norms[-1](h))


def decoder():
    ids = torch.randint(0, 100, (4, 16))
    return Start(Decoder(), (ids, ids.roll(-1, 1)))


class Experts(nn.Module):
    """A mixture of experts of which one gets no sample, beside a head that this batch skips."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(mlp(nn.ReLU, 20, 32, 3) for _ in range(4))
        self.router, self.unused = nn.Linear(20, 4), nn.Linear(20, 3)

    def forward(self, x):
        gates = self.router(x).softmax(-1)
        chosen = gates[:, :3].argmax(-1)
        out = x.new_zeros(len(x), 3)
        for i, expert in enumerate(self.experts):
            mine = chosen == i
            out = out.index_add(0, mine.nonzero()[:, 0], expert(x[mine]) * gates[mine, i : i + 1])
        return out


def frozen():
    model = mlp(nn.ReLU, 20, 32, 32, 3)
    model[0].requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return Start(model, classes())


def empty():
    model = mlp(nn.ReLU, 20, 32, 3)
    model.register_parameter("spare", nn.Parameter(torch.empty(0, 4)))
    return Start(model, classes())


def pruned():
    model = mlp(nn.ReLU, 20, 64, 64, 3)
    prune.l1_unstructured(model[2], "weight", 0.9)
    prune.ln_structured(model[0], "weight", 0.5, 2, 0)
    return Start(model, classes())


def actor():
    """A policy network of tanh with orthogonal weights and a last layer of gain .01."""
    model = mlp(nn.Tanh, 20, 64, 64, 3)
    for layer, gain in zip(model[::2], (2**0.5, 2**0.5, 0.01), strict=True):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return Start(model, classes())


def detector():
    """A head whose bias says that one anchor in a hundred holds something."""
    model = mlp(nn.ReLU, 20, 64, 10)
    nn.init.constant_(model[2].bias, -math.log(99))
    targets = (torch.rand(64, 10) < 0.01).float()
    options = {"loss_fn": functional.binary_cross_entropy_with_logits}
    return Start(model, (torch.randn(64, 20), targets), options)


class Forgetful(nn.Module):
    """An LSTM with a forget-gate bias of one."""

    def __init__(self, kind="LSTM", *, forget=True, **options):
        super().__init__()
        self.body = getattr(nn, kind)(20, 24, 2, batch_first=True, **options)
        width = options.get("proj_size") or 24
        self.head = nn.Linear(width * (1 + self.body.bidirectional), 3)
        if forget:
            for name, parameter in self.body.named_parameters():
                if "bias" in name:
                    nn.init.zeros_(parameter)
                    nn.init.ones_(parameter[24:48])

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


def recurrent(kind, *, forget=False, **options):
    return lambda: Start(Forgetful(kind, forget=forget, **options), sequences())


class Mamba(nn.Module):
    """A gated state-space block: dt bias by inverse softplus, A by log of a range."""

    def __init__(self, width=24, states=4):
        super().__init__()
        self.enter, self.leave = nn.Linear(20, 2 * width), nn.Linear(width, 3)
        self.dt = nn.Linear(width, width)
        low, high = math.log(1e-3), math.log(1e-1)
        dt = torch.exp(torch.rand(width) * (high - low) + low)
        nn.init.uniform_(self.dt.weight, -0.1, 0.1)
        with torch.no_grad():
            self.dt.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        self.log_a = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(width, 1))
        self.skip = nn.Parameter(torch.ones(width))
        self.read, self.write = nn.Linear(width, states), nn.Linear(width, states)

    def forward(self, x):
        h, gate = self.enter(x).chunk(2, -1)
        h = functional.silu(h)
        dt = functional.softplus(self.dt(h))
        state = h.new_zeros(len(h), h.shape[-1], self.log_a.shape[1])
        out = []
        for t in range(h.shape[1]):
            decay = torch.exp(-dt[:, t, :, None] * self.log_a.exp())
            state = (
                decay * state + dt[:, t, :, None] * self.write(h[:, t])[:, None] * h[:, t, :, None]
            )
            out.append((state * self.read(h[:, t])[:, None]).sum(-1))
        out = torch.stack(out, 1) + self.skip * h
        return self.leave((out * functional.silu(gate)).mean(1))


class Translator(nn.Module):
    """nn.Transformer with its copied layers drawn anew, as its own constructor does."""

    def __init__(self):
        super().__init__()
        self.body = nn.Transformer(32, 4, 2, 2, 64, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        return self.head(self.body(x, x)).mean(1)


class Heads(nn.Module):
    """Multi-head attention by itself."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.MultiheadAttention(20, 4, batch_first=True), nn.Linear(20, 3)

    def forward(self, x):
        return self.head(self.body(x, x, x)[0].mean(1))


class Gated(nn.Module):
    """GLU, SwiGLU and highway gates, the last with its customary bias of -2."""

    def __init__(self):
        super().__init__()
        self.glu = nn.Linear(20, 64)
        self.up, self.gate, self.down = nn.Linear(32, 64), nn.Linear(32, 64), nn.Linear(64, 32)
        self.carry, self.transform = nn.Linear(32, 32), nn.Linear(32, 32)
        nn.init.constant_(self.carry.bias, -2)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        h = functional.glu(self.glu(x))
        h = h + self.down(functional.silu(self.gate(h)) * self.up(h))
        t = torch.sigmoid(self.carry(h))
        return self.head(t * functional.relu(self.transform(h)) + (1 - t) * h)


class Excited(nn.Module):
    """Convolutions with batch norm and squeeze-and-excitation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.deep = nn.Sequential(
            nn.Conv2d(16, 16, 3, groups=16, bias=True), nn.BatchNorm2d(16), nn.Hardswish()
        )
        self.squeeze, self.excite = nn.Linear(16, 4), nn.Linear(4, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        h = self.deep(self.stem(x))
        gate = self.excite(functional.relu(self.squeeze(h.mean((2, 3)))))
        return self.head((h * functional.hardsigmoid(gate)[..., None, None]).mean((2, 3)))


class Free(nn.Module):
    """A normaliser-free residual network: scaled weight standardisation and gains of zero."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))
        self.gain = nn.Parameter(torch.zeros(3))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        h = self.stem(x)
        for conv, gain in zip(self.convs, self.gain, strict=True):
            weight = conv.weight
            mean = weight.mean((1, 2, 3), keepdim=True)
            weight = (weight - mean) / (weight.var((1, 2, 3), keepdim=True) * 144 + 1e-4).sqrt()
            h = h + gain * functional.conv2d(functional.silu(h), weight, conv.bias, padding=1)
        return self.head(functional.silu(h).mean((2, 3)))


class Patches(nn.Module):
    """A small vision transformer with norm first, class token and learnt positions."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 8, stride=8)
        self.cls = nn.Parameter(torch.zeros(1, 1, 32))
        self.position = nn.Parameter(torch.randn(1, 17, 32) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                32, 4, 64, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(3)
        )
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)
        constant(0.0)(self.head)

    def forward(self, x):
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.cls.expand(len(x), -1, -1), h], 1) + self.position
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h)[:, 0])


class Next(nn.Module):
    """ConvNeXt blocks: depthwise 7×7, channel-last norm, GELU, layer scale, residual."""

    def __init__(self, width=24):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, stride=4)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(width, width, 7, padding=3, groups=width) for _ in range(3)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(3))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(3))
        self.gamma = nn.ParameterList(nn.Parameter(torch.full((width,), 1e-6)) for _ in range(3))
        self.head = nn.Linear(width, 10)
        for layer in self.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x):
        h = self.stem(x)
        for i in range(3):
            y = self.norms[i](self.depthwise[i](h).permute(0, 2, 3, 1))
            y = self.gamma[i] * self.down[i](functional.gelu(self.up[i](y)))
            h = h + y.permute(0, 3, 1, 2)
        return self.head(self.norms[3](h.mean((2, 3))))


class Unet(nn.Module):
    """An encoder and a decoder that meet at a skip connection."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, x):
        wide = functional.relu(self.down(x))
        deep = functional.relu(self.deep(functional.max_pool2d(wide, 2)))
        return self.out(torch.cat([wide, functional.relu(self.up(deep))], 1))


class Variational(nn.Module):
    """An autoencoder that returns reconstruction, mean and log-variance."""

    def __init__(self):
        super().__init__()
        self.enter, self.mean, self.log = nn.Linear(784, 64), nn.Linear(64, 8), nn.Linear(64, 8)
        self.leave = mlp(nn.ReLU, 8, 64, 784)

    def forward(self, x):
        h = functional.relu(self.enter(x))
        mean, log = self.mean(h), self.log(h)
        z = mean + torch.randn_like(mean) * torch.exp(log / 2)
        return torch.sigmoid(self.leave(z)), mean, log


def elbo(output, x):
    picture, mean, log = output
    error = functional.binary_cross_entropy(picture, x)
    return error - 0.5 * (1 + log - mean.square() - log.exp()).mean()


def variational():
    x = pictures()[0].flatten(1)
    return Start(Variational(), (x, x), {"loss_fn": elbo})


class Siamese(nn.Module):
    """One encoder for both inputs."""

    def __init__(self):
        super().__init__()
        self.body, self.head = mlp(nn.ReLU, 20, 32, 16), nn.Linear(16, 1)

    def forward(self, a, b):
        return self.head((self.body(a) - self.body(b)).abs())


def siamese():
    pair = torch.randn(32, 20), torch.randn(32, 20)
    return Start(Siamese(), (pair, torch.randint(0, 2, (32, 1)).float()),
                 {"loss_fn": functional.binary_cross_entropy_with_logits})  # fmt: skip


def normalised(wrap):
    def build():
        model = mlp(nn.ReLU, 20, 32, 32, 3)
        model[2] = wrap(model[2])
        return Start(model, classes())

    return build


def imagenet():
    x = (torch.rand(8, 3, 32, 32) - 0.45) / 0.225
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip
    return Start(model, (x, torch.randint(0, 10, (8,))))


def negative_loss():
    options = {"loss_fn": lambda output: -output.softmax(-1).amax(-1).mean()}
    return Start(mlp(nn.ReLU, 20, 32, 3), torch.randn(32, 20), options)


def cast(dtype):
    def build():
        x, y = classes()
        return Start(mlp(nn.ReLU, 20, 64, 64, 3).to(dtype), (x.to(dtype), y))

    return build


def contrast():
    return Start(Contrast(), ((torch.randn(16, 20), torch.randn(16, 12)), torch.arange(16)))


def zero_head():
    model = mlp(nn.ReLU, 20, 32, 32, 3)
    constant(0.0)(model[4])
    return Start(model, classes())


CASES = [
    Case("healthy 1 zero_init_residual", zoo("resnet18", size=32, zero_init_residual=True), PASS),
    Case("healthy 3 adaLN-zero", lambda: Start(AdaNorm(), classes()), PASS),
    Case("healthy 4 zero convolution", lambda: Start(ZeroBranch(), images()), PASS),
    Case("healthy 5 zero head", zero_head, PASS),
    Case("healthy 6 LayerScale and ReZero", lambda: Start(Scaled(), classes()), PASS),
    Case("healthy 6 logit scale", contrast, PASS),
    Case("healthy 8 norm weight stored as 1 + w", lambda: Start(GemmaNorm(), classes()), PASS),
    Case("healthy 9 sinusoidal tables and zero tokens", lambda: Start(Positions(), tokens()), PASS),
    Case("healthy 10 one identity layer", identity((2,)), PASS),
    Case("healthy 10 identity layers", identity((0, 2, 4)), PASS),
    Case("healthy 10 Dirac", dirac, PASS),
    Case("healthy 12 tied decoder by N(0, .02²)", decoder, PASS),
    Case("healthy 13 mixture of experts", lambda: Start(Experts(), classes()), PASS),
    Case("healthy 13 frozen layers", frozen, PASS),
    Case("healthy 14 sparse CNN", lambda: Start(each(cnn(), he), pictures()), PASS),
    Case("healthy 15 zero-element parameter", empty, PASS),
    Case("healthy 16 policy head of gain .01", actor, PASS),
    Case("healthy 17 prior bias of a detector", detector, PASS),
    Case("healthy 18 forget-gate bias", recurrent("LSTM", forget=True), PASS),
    Case("healthy 18 dt bias of a state-space block", lambda: Start(Mamba(), sequences()), PASS),
    Case("healthy 19 norm after the convolution, excitation", lambda: Start(Excited(), images()),
         PASS),
    Case("healthy 20 ImageNet-normalised images", imagenet, PASS),
    Case("healthy 20 negative loss", negative_loss, PASS),
    Case("healthy pruned", pruned, PASS),
    Case("healthy NFNet gains", lambda: Start(Free(), images()), PASS),
    Case("healthy gates", lambda: Start(Gated(), classes()), PASS),
    Case("healthy vision transformer", lambda: Start(Patches(), images()), PASS),
    Case("healthy ConvNeXt", lambda: Start(Next(), images()), PASS),
    Case("healthy U-Net", lambda: Start(Unet(), (pictures()[0],) * 2), PASS),
    Case("healthy variational autoencoder", variational, PASS),
    Case("healthy siamese", siamese, PASS),
    Case("healthy weight norm", normalised(parametrizations.weight_norm), PASS),
    Case("healthy spectral norm", normalised(parametrizations.spectral_norm), PASS),
    Case("healthy orthogonal", normalised(parametrizations.orthogonal), PASS),
    Case("healthy old weight norm", normalised(nn.utils.weight_norm), PASS),
    Case("healthy GRU", recurrent("GRU"), PASS),
    Case("healthy RNN", recurrent("RNN"), PASS),
    Case("healthy bidirectional LSTM", recurrent("LSTM", bidirectional=True), PASS),
    Case("healthy projected LSTM", recurrent("LSTM", proj_size=8), PASS),
    Case("healthy nn.Transformer", lambda: Start(Translator(), sequences(32)), PASS),
    Case("healthy MultiheadAttention", lambda: Start(Heads(), sequences()), PASS),
    Case("healthy float64", cast(torch.float64), PASS),
    Case("healthy bfloat16", cast(torch.bfloat16), PASS),
    Case("healthy torchvision mobilenet_v3_small", zoo("mobilenet_v3_small"), PASS),
    Case("healthy torchvision squeezenet1_1", zoo("squeezenet1_1"), PASS),
    Case("healthy torchvision shufflenet_v2_x0_5", zoo("shufflenet_v2_x0_5"), PASS),
]  # fmt: skip
