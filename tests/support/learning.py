"""Small programs that learn, and some that cannot, for the tests of ``learns``."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def adam(lr=1e-3):
    return lambda p: torch.optim.Adam(p, lr)


def sgd(lr, momentum=0.0):
    return lambda p: torch.optim.SGD(p, lr, momentum)


def mlp(*widths, act=nn.ReLU):
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), act()]
    return nn.Sequential(*layers[:-1])


def blobs(n=64, features=20, classes=5):
    """Classes that lie apart."""
    y = torch.arange(n) % classes
    return torch.randn(n, features) + 2 * torch.randn(classes, features)[y], y


def noise(n=32, features=20, classes=5):
    """Labels that have nothing to do with the inputs."""
    return torch.randn(n, features), torch.randint(classes, (n,))


class Fn(nn.Module):
    """Parts held by a module whose forward is a function of it and the inputs."""

    def __init__(self, forward, **parts: Any):
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self._forward(self, *inputs)


# Sound programs: each returns a model, a batch and further arguments of ``learns``.


def classifier():
    return mlp(20, 64, 5), blobs(), {}


def random_labels():
    return mlp(20, 64, 5), noise(), {"optimizer": adam()}


def small_rate():
    return mlp(20, 64, 5), blobs(), {"optimizer": lambda p: torch.optim.AdamW(p, 1e-5)}


def small_rate_of_descent():
    return mlp(20, 64, 5), blobs(), {"optimizer": sgd(1e-3)}


def logistic():
    return nn.Linear(20, 5), noise(256), {}


def logistic_of_one_feature():
    return nn.Linear(1, 2), noise(128, 1, 2), {}


def least_squares_of_noise():
    return nn.Linear(1, 1), (torch.randn(256, 1), torch.randn(256, 1)), {}


def least_squares():
    x = torch.randn(64, 8)
    return nn.Linear(8, 2), (x, x @ torch.randn(8, 2)), {"optimizer": sgd(0.05)}


def three_hidden_units_of_noise():
    return mlp(10, 3, 1), (torch.randn(200, 10), torch.randn(200, 1)), {}


def two_units_for_circles():
    x = torch.randn(100, 2)
    return mlp(2, 2, 2), (x, (x.norm(dim=1) > 1.2).long()), {}


def embedding_of_one():
    y = torch.randint(4, (64,))
    return nn.Sequential(nn.Embedding(50, 1), nn.Linear(1, 4)), (torch.randint(50, (64,)), y), {}


def bottleneck_of_one():
    x = torch.randn(32, 40)
    return mlp(40, 1, 40), (x, x.clone()), {}


def parity():
    x = torch.randint(2, (64, 10)).float()
    return mlp(10, 64, 2), (x, x.sum(1).long() % 2), {}


def noise_images_to_noise_images():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    return net, (torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16)), {}


def random_segmentation():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 21, 1))
    return net, (torch.randn(4, 3, 16, 16), torch.randint(21, (4, 16, 16))), {}


def mostly_background():
    x = torch.randn(4, 3, 16, 16)
    y = (F.avg_pool2d(x[:, :1], 3, 1, 1).squeeze(1) > 0.55).long()
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 2, 1))
    return net, (x, y), {"optimizer": adam()}


class Tokens(nn.Module):
    """A small causal transformer."""

    def __init__(self, vocabulary=200, width=32, length=16):
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, 0.1, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids):
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        hidden = self.body(self.table(ids) + self.place[: ids.shape[1]], mask)
        return self.head(hidden)


def language_model():
    ids = torch.randint(200, (4, 17))
    return Tokens(), (ids[:, :-1], ids[:, 1:]), {"optimizer": adam(3e-4)}


def language_model_of_two_samples():
    ids = torch.randint(200, (2, 17))
    return Tokens(), (ids[:, :-1], ids[:, 1:]), {}


class Recurrent(nn.Module):
    def __init__(self, kind=nn.LSTM, features=2, hidden=32, out=1):
        super().__init__()
        self.body = kind(features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, out)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


def adding_problem():
    x = torch.rand(32, 100, 2)
    x[..., 1] = 0
    ends = torch.stack([torch.randint(50, (32,)), torch.randint(50, 100, (32,))], 1)
    x[torch.arange(32)[:, None], ends, 1] = 1
    return Recurrent(), (x, (x[..., 0] * x[..., 1]).sum(1, keepdim=True)), {}


def copy_of_the_first_symbol():
    x = torch.zeros(32, 60, 4)
    y = torch.arange(32) % 4
    x[torch.arange(32), 0, y] = 1
    return Recurrent(nn.GRU, 4, 32, 4), (x, y), {}


def listener():
    """CTC, which says nothing for hundreds of steps."""
    x, y = torch.randn(8, 30, 12), torch.randint(1, 20, (8, 8))
    body = nn.LSTM(12, 32, batch_first=True, bidirectional=True)
    net = Fn(lambda m, v: m.head(m.body(v)[0]), body=body, head=nn.Linear(64, 20))

    def ctc(output, targets):
        logs = output.log_softmax(-1).transpose(0, 1)
        return F.ctc_loss(logs, targets, torch.full((8,), 30), torch.full((8,), 8))

    return net, (x, y), {"loss_fn": ctc, "optimizer": adam()}


def translator():
    source, target = torch.randint(50, (8, 10)), torch.randint(50, (8, 10))
    net = Fn(
        lambda m, s, t: m.head(m.decode(m.table(t), m.encode(m.table(s))[1])[0]),
        table=nn.Embedding(50, 32), encode=nn.GRU(32, 32, batch_first=True),
        decode=nn.GRU(32, 32, batch_first=True), head=nn.Linear(32, 50),
    )  # fmt: skip
    return net, ((source, target[:, :-1]), target[:, 1:]), {}


def deep_plain_tanh():
    return mlp(20, *[32] * 12, 5, act=nn.Tanh), blobs(), {}


def residual_images():
    from torchvision.models import resnet18

    batch = torch.randn(4, 3, 32, 32), torch.arange(4)
    return resnet18(num_classes=10), batch, {"optimizer": sgd(0.01, 0.9)}


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.decode = mlp(30, 32, 8), mlp(4, 32, 30)

    def forward(self, x):
        mean, log = self.encode(x).chunk(2, 1)
        code = mean + torch.randn_like(mean) * (log / 2).exp()
        return self.decode(code), mean, log


def elbo(model, batch):
    out, mean, log = model(batch)
    divergence = -0.5 * (1 + log - mean.square() - log.exp()).sum(1).mean()
    return F.binary_cross_entropy_with_logits(out, batch, reduction="sum") / len(batch) + divergence


def variational():
    return Variational(), (torch.rand(32, 30) > 0.5).float(), {"forward": elbo}


def diffusion():
    net = mlp(17, 64, 16)

    def loss(model, batch):
        noise, t = torch.randn_like(batch), torch.rand(len(batch), 1)
        mixed = batch * (1 - t).sqrt() + noise * t.sqrt()
        return F.mse_loss(model(torch.cat([mixed, t], 1)), noise)

    return net, torch.randn(32, 16), {"forward": loss}


def dropout_kept():
    """Noise that a user draws by hand."""
    net = Fn(
        lambda m, x: m.b(m.a(x).relu() * (torch.rand(len(x), 64) > 0.5) * 2),
        a=nn.Linear(20, 64), b=nn.Linear(64, 5),
    )  # fmt: skip
    return net, blobs(), {}


def noise_from_a_generator():
    drawn = torch.Generator().manual_seed(0)
    net = Fn(lambda m, x: m.net(x + 3 * torch.randn(x.shape, generator=drawn)), net=mlp(20, 32, 5))
    return net, noise(), {}


def generator_step():
    net = Fn(lambda m, z: m.judge(m.make(z)), make=mlp(8, 32, 20), judge=mlp(20, 32, 1))
    net.judge.requires_grad_(False)
    loss = lambda out: F.softplus(-out).mean()  # noqa: E731
    return net, torch.randn(32, 8), {"loss_fn": loss}


def critic_step():
    net = mlp(20, 32, 1)

    def loss(model, batch):
        real, fake = batch
        return model(fake).mean() - model(real).mean()

    return net, (torch.randn(32, 20), torch.randn(32, 20) + 1), {"forward": loss}


def both_steps_of_a_game():
    """A forward pass that trains the judge inside."""
    net = Fn(None, make=mlp(8, 32, 20), judge=mlp(20, 32, 1))
    inner = torch.optim.SGD(net.judge.parameters(), 0.1)

    def loss(model, batch):
        z, real = batch
        fake = model.make(z)
        with torch.enable_grad():
            inner.zero_grad()
            own = F.softplus(-model.judge(real)).mean()
            own = own + F.softplus(model.judge(fake.detach())).mean()
            own.backward()
            inner.step()
        return F.softplus(-model.judge(fake)).mean()

    return net, (torch.randn(32, 8), torch.randn(32, 20)), {"forward": loss}


class Coupling(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.net = mlp(width // 2, 32, width)

    def forward(self, x):
        a, b = x.chunk(2, 1)
        log, shift = self.net(a).chunk(2, 1)
        log = log.tanh()
        return torch.cat([b * log.exp() + shift, a], 1), log.sum(1)


def flow():
    net = Fn(None, one=Coupling(), two=Coupling())

    def loss(model, batch):
        z, a = model.one(batch)
        z, b = model.two(z)
        return (0.5 * z.square().sum(1) - a - b).mean()

    return net, torch.randn(64, 6) * 3, {"forward": loss}


def policy_gradient():
    actions, returns = torch.randint(3, (32,)), torch.randn(32)

    def loss(output, returns):
        return -(output.log_softmax(1)[torch.arange(32), actions] * returns).mean()

    return mlp(8, 32, 3), (torch.randn(32, 8), returns), {"loss_fn": loss}


def clipped_policy():
    """Its value stays where it is: the old policy is always the one of now."""

    def loss(model, batch):
        states, actions, advantages = batch["states"], batch["actions"], batch["advantages"]
        logs = model(states).log_softmax(1).gather(1, actions[:, None])[:, 0]
        ratio = (logs - logs.detach()).exp()
        clipped = ratio.clamp(0.8, 1.2)
        return -torch.min(ratio * advantages, clipped * advantages).mean()

    batch = {
        "states": torch.randn(32, 8),
        "actions": torch.randint(3, (32,)),
        "advantages": torch.randn(32),
    }
    return mlp(8, 32, 3), batch, {"forward": loss}


def temporal_difference():
    """The target is made of the model's own output."""

    def loss(model, batch):
        now, later, reward = batch["now"], batch["later"], batch["reward"]
        target = reward + 0.99 * model(later).max(1).values.detach()
        return F.smooth_l1_loss(model(now).max(1).values, target)

    batch = {"now": torch.randn(32, 8), "later": torch.randn(32, 8), "reward": torch.randn(32)}
    return mlp(8, 64, 4), batch, {"forward": loss}


def contrastive():
    def loss(output):
        a, b = F.normalize(output, dim=1).chunk(2)
        return F.cross_entropy(a @ b.T / 0.1, torch.arange(len(a)))

    x = torch.randn(16, 20)
    return mlp(20, 32, 16), torch.cat([x, x + 0.1 * torch.randn(16, 20)]), {"loss_fn": loss}


def likeness_to_a_stopped_view():
    """BYOL without the averaged copy: a loss that is lowest where all outputs are one."""
    net = Fn(None, body=mlp(20, 32, 16), guess=mlp(16, 16, 16))

    def loss(model, batch):
        a, b = model.body(batch), model.body(batch + 0.1 * torch.randn_like(batch))
        return -F.cosine_similarity(model.guess(a), b.detach()).mean()

    return net, torch.randn(32, 20), {"forward": loss}


def triplets():
    def loss(model, batch):
        return F.triplet_margin_loss(*(model(part) for part in batch.unbind(1)))

    return mlp(20, 32, 8), torch.randn(16, 3, 20), {"forward": loss}


def graph():
    """Six steps over a dense graph, so that nodes become alike."""
    links = (torch.rand(30, 30) > 0.5).float()
    links = links / links.sum(1, keepdim=True)
    net = Fn(lambda m, x: m.b(links @ (links @ m.a(x).relu())), a=nn.Linear(8, 32),
             b=nn.Linear(32, 3))  # fmt: skip
    return net, (torch.randn(30, 8), torch.randint(3, (30,))), {}


def quantiles():
    levels = torch.tensor([0.1, 0.5, 0.9])

    def loss(output, targets):
        gap = targets - output
        return torch.maximum(levels * gap, (levels - 1) * gap).mean()

    return mlp(8, 32, 3), (torch.randn(64, 8), torch.randn(64, 1)), {"loss_fn": loss}


def boxes():
    net = Fn(lambda m, x: (m.box(h := m.body(x).relu()), m.kind(h)),
             body=nn.Linear(40, 64), box=nn.Linear(64, 4), kind=nn.Linear(64, 3))  # fmt: skip

    def loss(output, targets):
        return F.smooth_l1_loss(output[0], targets[0]) + F.cross_entropy(output[1], targets[1])

    batch = torch.randn(16, 40), (torch.rand(16, 4), torch.randint(3, (16,)))
    return net, batch, {"loss_fn": loss}


def one_sample():
    return mlp(20, 32, 5), noise(1), {}


def three_samples_alike():
    x = torch.randn(1, 20).expand(3, -1).clone()
    return mlp(20, 32, 5), (x, torch.tensor([0, 1, 2])), {}


def duplicates():
    """Every input twice, with different labels: the loss cannot fall below log 2."""
    x = torch.randn(16, 20).repeat(2, 1)
    return mlp(20, 64, 4), (x, torch.arange(32) // 16 + 2 * (torch.arange(32) % 2)), {}


def nothing_to_learn():
    return mlp(20, 32, 5), (torch.randn(32, 20), torch.full((32,), 3)), {}


def smoothed_labels():
    loss = lambda output, y: F.cross_entropy(output, y, label_smoothing=0.3)  # noqa: E731
    return mlp(20, 64, 5), blobs(), {"loss_fn": loss}


def trained_already():
    net, (x, y) = mlp(20, 64, 5), blobs()
    made = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(100):
        made.zero_grad()
        F.cross_entropy(net(x), y).backward()
        made.step()
    return net, (x, y), {"optimizer": sgd(1e-3)}


def frozen_body():
    net = mlp(20, 64, 64, 5)
    for layer in net[:4]:
        layer.requires_grad_(False)
    return net, blobs(), {}


def only_biases():
    net = mlp(20, 64, 64, 5)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("bias" in name)
    return net, noise(), {}


def straight_through():
    net = Fn(lambda m, x: m.b((h := m.a(x).sigmoid()) + (h.round() - h).detach()),
             a=nn.Linear(20, 64), b=nn.Linear(64, 5))  # fmt: skip
    return net, blobs(), {}


def sparse_table():
    net = nn.Sequential(nn.EmbeddingBag(100, 16, sparse=True), nn.Linear(16, 3))
    return net, (torch.randint(100, (32, 5)), torch.randint(3, (32,))), {}


def second_order():
    return mlp(20, 32, 5), blobs(), {"optimizer": lambda p: torch.optim.LBFGS(p, 0.5)}


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return -g


def domains():
    """A reversed gradient in its place: the body is to make two domains alike."""
    net = Fn(lambda m, x: (m.task(h := m.body(x).relu()), m.domain(Reverse.apply(h))),
             body=nn.Linear(20, 32), task=nn.Linear(32, 5), domain=nn.Linear(32, 2))  # fmt: skip

    def loss(output, targets):
        return F.cross_entropy(output[0], targets[0]) + F.cross_entropy(output[1], targets[1])

    x, y = blobs()
    return net, (x, (y, torch.arange(64) // 32)), {"loss_fn": loss}


SOUND = [
    classifier, random_labels, small_rate, small_rate_of_descent, logistic,
    logistic_of_one_feature, least_squares_of_noise, least_squares, three_hidden_units_of_noise,
    two_units_for_circles, embedding_of_one, bottleneck_of_one, parity,
    noise_images_to_noise_images, random_segmentation, mostly_background, language_model,
    language_model_of_two_samples, adding_problem, copy_of_the_first_symbol, listener, translator,
    deep_plain_tanh, residual_images, variational, diffusion, dropout_kept, noise_from_a_generator,
    generator_step, critic_step, both_steps_of_a_game, flow, policy_gradient, clipped_policy,
    temporal_difference, contrastive, likeness_to_a_stopped_view, triplets, graph, quantiles, boxes,
    one_sample, three_samples_alike, duplicates, nothing_to_learn, smoothed_labels,
    trained_already, frozen_body, only_biases, straight_through, sparse_table, second_order,
    domains,
]  # fmt: skip


# Faulty programs.


def dead():
    net = mlp(20, 64, 5)
    nn.init.constant_(net[0].bias, -100.0)
    return net, blobs(), {}


def all_zero():
    net = mlp(20, 64, 64, 5)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net, blobs(), {}


def symmetrical():
    net = mlp(20, 32, 5)
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.01)
    return net, noise(64), {}


def detached_body_of_constants():
    body = nn.Linear(20, 64)
    nn.init.zeros_(body.weight)
    net = Fn(lambda m, x: m.head(m.body(x).relu().detach()), body=body, head=nn.Linear(64, 5))
    return net, blobs(), {}


def input_forgotten():
    net = Fn(lambda m, x: m.net(torch.zeros_like(x)), net=mlp(20, 32, 5))
    return net, blobs(), {}


def input_overwritten_by_its_mean():
    net = Fn(lambda m, x: m.net(x.mean(0, keepdim=True).expand_as(x)), net=mlp(20, 32, 5))
    return net, blobs(), {}


def norm_over_one_value():
    net = Fn(lambda m, x: m.b(m.norm(m.a(x))), a=nn.Linear(20, 1), norm=nn.LayerNorm(1),
             b=nn.Linear(1, 5))  # fmt: skip
    return net, blobs(), {}


def softmax_over_one_value():
    net = Fn(lambda m, x: m.net(x).softmax(1), net=mlp(20, 32, 1))
    return (
        net,
        (torch.randn(32, 20), torch.randint(2, (32, 1)).float()),
        {"loss_fn": F.binary_cross_entropy},
    )


def softmax_over_samples_of_images():
    """Global statistics taken over the batch, so that every sample gets the same features."""
    net = Fn(lambda m, x: m.head(m.body(x).amax((0, 2, 3)).expand(len(x), -1)),
             body=nn.Conv2d(3, 16, 3), head=nn.Linear(16, 4))  # fmt: skip
    return net, (torch.randn(16, 3, 8, 8), torch.arange(16) % 4), {}


def wrong_axis_of_attention():
    """Weights that sum to one over queries of one token: the mean is all that is left."""

    def attend(m, x):
        hidden = m.table(x * 0)
        return m.head((hidden @ hidden.mT).softmax(1) @ hidden).mean(1)

    net = Fn(attend, table=nn.Embedding(50, 16), head=nn.Linear(16, 4))
    return net, (torch.randint(50, (16, 6)), torch.arange(16) % 4), {}


def argmax_inside():
    net = Fn(lambda m, x: m.b(F.one_hot(m.a(x).softmax(1).argmax(1) * 0, 16).float()),
             a=nn.Linear(20, 16), b=nn.Linear(16, 5))  # fmt: skip
    return net, blobs(), {}


def clipped_to_nothing():
    net = Fn(lambda m, x: m.net(x.clamp(0, 0)), net=mlp(20, 32, 5))
    return net, blobs(), {}


def integer_division_of_pixels():
    net = Fn(lambda m, x: m.net((x // 256).float()), net=mlp(20, 32, 5))
    return net, (torch.randint(256, (32, 20)), torch.randint(5, (32,))), {}


def reversed_gradient():
    net = Fn(lambda m, x: Reverse.apply(m.net(x)), net=mlp(20, 32, 5))
    return net, blobs(), {"optimizer": adam()}


def reversed_gradient_of_squares():
    net = Fn(lambda m, x: Reverse.apply(m.net(x)), net=mlp(8, 32, 1))
    x = torch.randn(32, 8)
    return net, (x, x[:, :1].clone()), {}


def sigmoid_for_hundreds():
    net = Fn(lambda m, x: m.net(x).sigmoid(), net=mlp(8, 32, 1))
    return net, (torch.randn(32, 8), 300 + 50 * torch.randn(32, 1)), {}


def rounded_output():
    net = Fn(lambda m, x: m.net(x).round().detach() + 0 * m.net(x), net=mlp(8, 32, 1))
    return net, (torch.randn(32, 8), torch.randn(32, 1)), {}


def rate_of_a_million():
    return mlp(20, 64, 5), blobs(), {"optimizer": sgd(1e6)}


def rate_of_nothing():
    return mlp(20, 64, 5), blobs(), {"optimizer": sgd(0.0)}


def optimiser_of_another_model():
    other = mlp(20, 64, 5)
    made = lambda p: torch.optim.Adam(other.parameters(), 1e-3)  # noqa: E731
    return mlp(20, 64, 5), blobs(), {"optimizer": made}


def optimiser_of_nothing():
    made = lambda p: torch.optim.SGD([], 0.1)  # noqa: E731
    return mlp(20, 64, 5), blobs(), {"optimizer": made}


def climbing_optimiser():
    made = lambda p: torch.optim.Adam(p, 1e-2, maximize=True)  # noqa: E731
    return mlp(20, 64, 5), blobs(), {"optimizer": made}


def not_a_number():
    net = Fn(lambda m, x: m.net((x - x).sqrt()), net=mlp(20, 32, 5))
    net = Fn(lambda m, x: m.net(x).sqrt(), net=net)
    return net, blobs(), {}


def gradient_that_is_no_number():
    net = Fn(lambda m, x: m.b((m.a(x) * 0).square().sum(1, keepdim=True).sqrt() + m.a(x)),
             a=nn.Linear(20, 32), b=nn.Linear(32, 5))  # fmt: skip
    return net, blobs(), {}


def saturated():
    net = mlp(20, 64, 5, act=nn.Tanh)
    nn.init.constant_(net[0].bias, 60.0)
    return net, blobs(), {}


def place_alone():
    """A tagger that knows the position and has lost the token."""
    net = Fn(lambda m, ids: m.head((m.table(ids) * 0 + m.place).relu()),
             table=nn.Embedding(50, 32), head=nn.Linear(32, 20))  # fmt: skip
    net.place = nn.Parameter(torch.randn(12, 32))
    return net, (torch.randint(50, (16, 12)), torch.randint(20, (16, 12))), {}


def dead_segmentation():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    nn.init.constant_(net[0].bias, -50.0)
    x = torch.randn(4, 3, 16, 16)
    return net, (x, (x[:, 0] > 0).long()), {}


def dead_autoencoder():
    net = mlp(30, 16, 4, 16, 30)
    nn.init.constant_(net[2].bias, -50.0)
    x = torch.randn(32, 30)
    return net, (x, x.clone()), {}


def masked_away():
    """A mask that hides every token, so that attention sees the padding alone."""
    net = Fn(lambda m, x: m.head(m.body(x)[0][:, 0] * 0 + m.bias), body=nn.GRU(8, 16),
             head=nn.Linear(16, 3))  # fmt: skip
    net.bias = nn.Parameter(torch.zeros(16))
    return net, (torch.randn(16, 5, 8), torch.arange(16) % 3), {}


FAULTY = [
    dead, all_zero, detached_body_of_constants, input_forgotten,
    input_overwritten_by_its_mean, norm_over_one_value, softmax_over_one_value,
    softmax_over_samples_of_images, wrong_axis_of_attention, argmax_inside, clipped_to_nothing,
    integer_division_of_pixels, reversed_gradient, reversed_gradient_of_squares,
    sigmoid_for_hundreds, rounded_output, rate_of_a_million, rate_of_nothing,
    optimiser_of_another_model, optimiser_of_nothing, climbing_optimiser, not_a_number,
    gradient_that_is_no_number, saturated, place_alone, dead_segmentation, dead_autoencoder,
    masked_away,
]  # fmt: skip
