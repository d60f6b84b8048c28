"""Feed-forward networks whose first steps move nothing, too little or too far."""

from __future__ import annotations

import torch
from torch import nn

from ..case import BAD, FAIL, MILD
from ..causes import BLOWN, LEFT, NONFINITE, STILL, SUM, UNHELD
from ..nets import adam, he, sgd
from .builders import TOTAL, R, T, foreign, head_only, net, opt, row
from .data import lines

CASES = [
    row("rate 0", net(R, 20, 64, 5, optimizer=sgd(0.0)), FAIL, (STILL, LEFT)),
    row("rate 1e-12", net(R, 20, 64, 5, optimizer=sgd(1e-12)), FAIL, STILL),
    row("rate too small for bfloat16", net(R, 20, 64, 5, dtype=torch.bfloat16, init=he,
        optimizer=sgd(1e-6)), FAIL, STILL, missed_seeds=(4,),
        missed="one weight next to zero moves, and the largest ratio is that of its layer"),
    row("bias-only rate for bfloat16", net(T, 20, 64, 64, 5, dtype=torch.bfloat16,
        optimizer=sgd(1e-7)), FAIL, STILL),
    row("optimiser of another model", net(R, 20, 64, 5, optimizer=foreign()), FAIL,
        (UNHELD, STILL, LEFT)),
    row("optimiser of the head alone", net(R, 20, 64, 5, optimizer=head_only), BAD, LEFT, "0"),
    row("SGD 200", net(R, 20, 64, 64, 5, optimizer=sgd(200.0)), FAIL, (BLOWN, *NONFINITE)),
    row("Adam 10", net(T, 20, 64, 64, 5, optimizer=adam(10.0)), FAIL, BLOWN),
    row("RMSprop 1, regression", net(R, 20, 64, 64, 1, data=lines(), optimizer=opt("RMSprop", 1.0)),
        FAIL, BLOWN),
    row("momentum .99 at rate 2, regression",
        net(nn.GELU, 20, 64, 64, 1, data=lines(), optimizer=opt("SGD", 2.0, 0.99)), FAIL,
        (BLOWN, *NONFINITE)),
    row("sum of squares, SGD .1", net(R, 20, 64, 1, data=lines(count=256), optimizer=sgd(0.1),
        loss_fn=nn.MSELoss(reduction="sum")), FAIL, (SUM, BLOWN, *NONFINITE)),
    row("Adam 1", net(T, 20, 64, 64, 5, optimizer=adam(1.0)), BAD, BLOWN),
    row("SGD 1 on squares", net(R, 20, 256, 256, 1, data=lines(scale=3.0), optimizer=sgd(1.0)),
        FAIL, (BLOWN, *NONFINITE)),
    row("doubt sum, Adam", net(R, 20, 64, 5, loss_fn=TOTAL, optimizer=adam(1e-3)), MILD),
]  # fmt: skip
