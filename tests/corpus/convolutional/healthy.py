"""Convolutional networks in which nothing, or little, is wrong."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import FAIL, MILD, PASS, WARN, Start
from ..causes import RECTIFIED, SQUASHED
from ..changes import fill, sunk
from ..nets import drawn, he, pictures
from .builders import (
    LEAKY,
    R,
    T,
    bilinear,
    blocks,
    coder,
    critic,
    digits,
    fan_out,
    generator,
    group,
    ignored,
    inflated,
    net,
    repeated,
    row,
    segments,
    separable,
    towers,
    upscaled,
)
from .data import DATA, colours, raw, volumes, waves
from .modules import Dilated, Edges, Normalised, stack

CASES = [
    *(row(f"healthy {dims}d {act.__name__}", net(dims, act, 3), PASS)
      for dims in DATA for act in (R, nn.GELU, T, nn.SELU)),
    *(row(f"healthy {dims}d batch norm, bias-free", net(dims, nn.SiLU, 6, bias=False, norm=(
        nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1], change=fan_out), PASS)
      for dims in DATA),
    row("healthy instance norm", net(2, LEAKY, 4, norm=nn.InstanceNorm2d), PASS),
    row("healthy group norm", net(2, nn.Mish, 8, norm=group), PASS),
    row("healthy 16 plain convolutions by He", net(2, R, 16, init=he, width=24), PASS),
    row("healthy PReLU", net(2, nn.PReLU, 4), PASS),
    row("healthy orthogonal ELU", net(1, nn.ELU, 5, init=drawn(nn.init.orthogonal_)), PASS),
    row("healthy depthwise with batch norm",
        separable(2, norm=nn.BatchNorm2d, act=functional.relu6), PASS),
    row("healthy 1d depthwise", separable(1, act=functional.gelu), PASS),
    row("healthy depthwise averages", separable(2, init=lambda w: w.fill_(1 / 9)), PASS),
    row("healthy 10 blocks, batch norm of zero", blocks(10, nn.BatchNorm2d, zero="norm"), PASS),
    row("healthy 10 blocks, group norm of zero, SiLU",
        blocks(10, group, zero="norm", act=functional.silu), PASS),
    row("healthy 12 blocks without norm, zero convolutions",
        blocks(12, nn.Identity, zero="conv"), PASS),
    row("healthy autoencoder", coder(torch.relu), PASS),
    row("healthy autoencoder, sigmoid and BCE",
        coder(functional.elu, torch.sigmoid, loss_fn=nn.BCELoss()), PASS),
    row("healthy segmentation", segments(3), PASS),
    row("healthy segmentation, ignored pixels", ignored, PASS),
    row("healthy segmentation, one logit", segments(1, loss_fn=nn.BCEWithLogitsLoss()), PASS),
    row("healthy pixel shuffle", upscaled(icnr=False), PASS),
    row("healthy pixel shuffle by ICNR", upscaled(icnr=True), PASS),
    row("healthy bilinear upsampling", bilinear(grouped=False), PASS),
    row("healthy bilinear upsampling in groups", bilinear(grouped=True), PASS),
    row("healthy raw pixels normalised in the model",
        lambda: Start(Normalised(), (lambda x, y: (raw(x), y))(*colours())), PASS),
    row("healthy raw pixels behind a batch norm",
        lambda: Start(nn.Sequential(nn.BatchNorm2d(3), *stack(2, R, 3)),
                      (lambda x, y: (raw(x), y))(*colours())), PASS),
    row("healthy raw pixels, batch norm after each convolution",
        net(2, R, 4, norm=nn.BatchNorm2d, scale=raw), MILD),
    row("healthy parallel towers", towers(copied=False), PASS),
    row("healthy frozen Sobel filters", lambda: Start(Edges(), colours()), PASS),
    row("healthy generator", generator, PASS),
    row("healthy critic", critic, PASS),
    row("healthy digits, SGD .05 with momentum",
        digits(init=he, optimizer=lambda p: torch.optim.SGD(p, 0.05, 0.9)), PASS),
    row("doubt repeated kernels", net(2, R, 3, change=repeated), MILD),
    row("doubt zero convolution before SiLU", net(1, nn.SiLU, 3, change=fill(0.0, 2)),
        MILD),
    row("softmax before cross-entropy", segments(3, nn.Softmax(1)), FAIL, SQUASHED),
    row("doubt output ReLU on a sparse map", coder(torch.relu, torch.relu,
        sunk("four", 0.3)), WARN, RECTIFIED),
    row("healthy softmax over the channels of one pixel", lambda: Start(nn.Sequential(
        nn.Conv2d(3, 16, 3), R(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 3, 1), nn.Softmax(1)),
        (lambda x, y: (x, y[:, None, None]))(*colours()),
        {"loss_fn": lambda p, y: functional.nll_loss(p.log(), y)}), PASS),
    row("healthy 1x1 and 7x7 kernels, stride 2", lambda: Start(nn.Sequential(
        nn.Conv2d(1, 16, 7, 2, 3), LEAKY(), nn.Conv2d(16, 8, 1), LEAKY(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(392, 10)), pictures()), PASS),
    row("healthy dilated residual stack", lambda: Start(Dilated(), waves()), PASS),
    row("healthy inflated kernels", lambda: Start(inflated(), volumes()), PASS),
    row("healthy mean of all pixels, batch of 4", lambda: Start(nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.GELU(), nn.Conv2d(32, 32, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(32, 3)), colours(4)), PASS),
]  # fmt: skip
