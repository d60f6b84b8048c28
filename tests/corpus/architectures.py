"""Healthy architectures: nothing may be said about them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from .case import FAIL, PASS, Case, Start
from .causes import COLLAPSED
from .healthy import images
from .nets import Reader, built, classes, constant, mlp, pictures, sequences


def zoo(name, *, size=64, **options):
    """A torchvision model on random images."""

    def build():
        import torchvision

        model = getattr(torchvision.models, name)(weights=None, num_classes=10, **options)
        return Start(model, images(4, size))

    return build


def forget(model):
    """A forget-gate bias of one."""
    for name, parameter in model.body.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
            nn.init.ones_(parameter[24:48])


def recurrent(kind, change=None, **options):
    return built(lambda: Reader(kind, 24, 2, features=20, **options), change, sequences)


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

    def __init__(self, width=784, hidden=64, code=8, *, last=torch.sigmoid):
        super().__init__()
        self.enter = nn.Linear(width, hidden)
        self.mean, self.log = nn.Linear(hidden, code), nn.Linear(hidden, code)
        self.leave, self.last = mlp(nn.ReLU, code, hidden, width), last

    def forward(self, x):
        h = functional.relu(self.enter(x))
        mean, log = self.mean(h), self.log(h)
        z = mean + torch.randn_like(mean) * torch.exp(log / 2)
        return self.last(self.leave(z)), mean, log


def elbo(output, x):
    picture, mean, log = output
    error = functional.binary_cross_entropy(picture, x, reduction="none").sum(1).mean()
    return error - 0.5 * (1 + log - mean.square() - log.exp()).sum(1).mean()


def averaged(output, x):
    """Two means: after 1,500 steps the pictures are the mean one, and the code says nothing."""
    picture, mean, log = output
    error = functional.binary_cross_entropy(picture, x)
    return error - 0.5 * (1 + log - mean.square() - log.exp()).mean()


def variational(loss_fn):
    def build():
        x = pictures()[0].flatten(1)
        return Start(Variational(), (x, x), {"loss_fn": loss_fn})

    return build


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


def cast(dtype):
    def build():
        x, y = classes()
        return Start(mlp(nn.ReLU, 20, 64, 64, 3).to(dtype), (x.to(dtype), y))

    return build


CASES = [
    Case("healthy 1 zero_init_residual", zoo("resnet18", size=32, zero_init_residual=True), PASS),
    Case("healthy 18 forget-gate bias", recurrent("LSTM", forget), PASS),
    Case("healthy 18 dt bias of a state-space block", lambda: Start(Mamba(), sequences()), PASS),
    Case("healthy 19 norm after the convolution, excitation", lambda: Start(Excited(), images()),
         PASS),
    Case("healthy NFNet gains", lambda: Start(Free(), images()), PASS),
    Case("healthy gates", lambda: Start(Gated(), classes()), PASS),
    Case("healthy vision transformer", lambda: Start(Patches(), images()), PASS),
    Case("healthy ConvNeXt", lambda: Start(Next(), images()), PASS),
    Case("healthy U-Net", lambda: Start(Unet(), (pictures()[0],) * 2), PASS),
    Case("healthy variational autoencoder", variational(elbo), PASS),
    Case("variational autoencoder of two means", variational(averaged), FAIL, (COLLAPSED,)),
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
]  # fmt: skip
