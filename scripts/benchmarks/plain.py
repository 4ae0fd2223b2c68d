"""The workloads of throughput.py as a user would write them: plain PyTorch, one codec at a time, nothing of this project.

python scripts/benchmarks/plain.py vq 500      # prints steps per second
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES, HIDDEN, LATENT, BITS, BATCH = 16, 64, 8, 8, 256


class Network(nn.Module):
    """Three layers with PReLU and a skip connection."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, outputs)
        self.act1, self.act2 = nn.PReLU(), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.act1(self.first(x))
        h = h + self.act2(self.second(h))
        return self.last(h)


class VQ(nn.Module):
    """Nearest of 256 codewords; straight-through estimator, codebook and commitment loss."""

    def __init__(self, codes: int = 256, commitment: float = 1.0) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codes, LATENT))
        self.commitment = commitment

    def forward(self, y: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        code = self.codebook[torch.cdist(y.detach(), self.codebook.detach()).argmin(1)]
        loss = F.mse_loss(code, y.detach()) + self.commitment * F.mse_loss(y, code.detach())
        return y + (code - y).detach(), loss


class RVQ(nn.Module):
    """Four stages of 64 codes."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([VQ(64) for _ in range(4)])

    def forward(self, y: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        total, loss, left = torch.zeros_like(y), torch.zeros(()), y
        for stage in self.stages:
            code, part = stage(left, progress)
            total, left, loss = total + code, left - code.detach(), loss + part
        return total, loss


class FSQ(nn.Module):
    """Three levels in each of eight dimensions, within a tanh."""

    def forward(self, y: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        bounded = torch.tanh(y)
        return bounded + (torch.round(bounded) - bounded).detach(), torch.zeros(())


class SoftToHard(nn.Module):
    """Softmax over 256 codewords with a falling temperature, hard in the last tenth; codebook loss."""

    def __init__(self) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(256, LATENT))

    def forward(self, y: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        squares = torch.cdist(y, self.codebook).square()
        temperature = 0.1 ** min(1.0, progress / 0.9)
        soft = torch.softmax(-squares / temperature, dim=1) @ self.codebook
        code = self.codebook[squares.detach().argmin(1)]
        loss = F.mse_loss(code, y.detach())
        return (soft if progress < 0.9 else soft + (code - soft).detach()), loss


BOTTLENECKS: dict[str, Callable[[], nn.Module]] = {"vq": VQ, "fsq": FSQ, "rvq": RVQ, "soft_to_hard": SoftToHard}


class Codec(nn.Module):
    def __init__(self, bottleneck: nn.Module) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = Network(FEATURES, LATENT), bottleneck, Network(LATENT, FEATURES)

    def forward(self, x: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        received, loss = self.bottleneck(self.encoder(x), progress)
        return self.decoder(received), loss


def train(bottleneck: nn.Module, steps: int, device: str = "cpu", compiled: bool = False, warm: int = 50) -> float:
    """Train one codec; gives seconds for ``steps`` steps after ``warm`` others."""
    codec = Codec(bottleneck).to(device)
    codewords = torch.randn(2**BITS, FEATURES, device=device)
    targets = codewords @ torch.linalg.qr(torch.randn(FEATURES, FEATURES, device=device))[0]
    optimizer = torch.optim.Adam(codec.parameters(), lr=1e-3)
    forward = torch.compile(codec) if compiled else codec
    began = 0.0
    for step in range(warm + steps):
        if step == warm:
            synchronize(device)
            began = time.perf_counter()
        symbols = torch.randint(2**BITS, (BATCH,), device=device)
        # A compiled module is compiled anew for every value of a number, so there it has only two.
        progress = step / (warm + steps)
        output, loss = forward(codewords[symbols], round(progress) if compiled else progress)
        loss = loss + F.mse_loss(output, targets[symbols])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    synchronize(device)
    return time.perf_counter() - began


def synchronize(device: str) -> None:
    """Wait for what a GPU still does."""
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    name, steps = sys.argv[1], int(sys.argv[2])
    print(steps / train(BOTTLENECKS[name](), steps))
