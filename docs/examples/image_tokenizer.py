"""A tokenizer of 28 x 28 images: 49 tokens of 1000 (FSQ with 8, 5, 5, 5 levels).

    python docs/examples/image_tokenizer.py [STEPS] [train-images-idx3-ubyte.gz]

The file is Fashion-MNIST's, as Debian's package dataset-fashion-mnist has it; without it images of random ellipses are drawn.
"""

import gzip
import sys

import torch
from torch import Tensor, nn

from quantbench.nn import Bottleneck

LEVELS = (8, 5, 5, 5)


def images(path: str | None, count: int = 2048) -> Tensor:
    if path:
        with gzip.open(path) as file:
            return torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8).view(-1, 1, 28, 28) / 255
    place = torch.linspace(-1, 1, 28)
    middle, width, tone = torch.rand(count, 2, 1, 1) - 0.5, 0.1 + torch.rand(count, 2, 1, 1), torch.rand(count, 1, 1)
    inside = ((place[:, None] - middle[:, 0]) / width[:, 0]) ** 2 + ((place - middle[:, 1]) / width[:, 1]) ** 2 < 1
    return (inside * tone).unsqueeze(1)


def main(steps: int = 300, path: str | None = None) -> list[float]:
    torch.manual_seed(0)
    data = images(path)
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.GELU(), nn.Conv2d(32, 64, 4, 2, 1), nn.GELU(), nn.Conv2d(64, len(LEVELS), 1)
    )
    bottleneck = Bottleneck("fsq", dim=len(LEVELS), channel_first=True, levels=LEVELS)
    decoder = nn.Sequential(
        nn.ConvTranspose2d(len(LEVELS), 64, 4, 2, 1),
        nn.GELU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),
        nn.GELU(),
        nn.Conv2d(32, 1, 1),
    )
    model = nn.ModuleList([encoder, bottleneck, decoder])
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    errors = []
    for _ in range(steps):
        batch = data[torch.randint(len(data), (64,))]
        quantized, _, loss = bottleneck(encoder(batch))
        error = (decoder(quantized) - batch).square().mean()
        optimizer.zero_grad()
        (error + loss).backward()
        optimizer.step()
        errors.append(float(error.detach()))
    model.eval()
    digits = bottleneck.encode(encoder(data[:8]))  # (8, 7, 7, 4): one slot a dimension
    places = torch.tensor([1, 8, 40, 200])  # what a digit of each slot is worth
    tokens = (digits * places).sum(-1)  # (8, 7, 7), below 1000
    again = tokens.unsqueeze(-1) // places % torch.tensor(LEVELS)
    output = decoder(bottleneck.decode(again))
    print(f"tokens {tuple(tokens.shape)}, mean square error {(output - data[:8]).square().mean():.4f}")
    return errors


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
