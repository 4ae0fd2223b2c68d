"""A small speech codec in plain PyTorch: 16 kHz in, 8 codes of 256 a frame of 20 ms, 3.2 kbit/s.

    python docs/examples/speech_codec.py [STEPS] [FILE.wav]

Without a recording it learns from a synthetic one: harmonics with a moving pitch.
"""

import sys

import torch
from torch import Tensor, nn

from quantbench.nn import Bottleneck

RATE, FRAME, DIM = 16000, 320, 64


def recording(path: str | None, seconds: int = 20) -> Tensor:
    if path:
        import soundfile

        return torch.tensor(soundfile.read(path, dtype="float32", always_2d=True)[0].mean(1))
    time = torch.arange(seconds * RATE) / RATE
    phase = torch.cumsum(2 * torch.pi * (120 + 40 * torch.sin(2 * torch.pi * 0.7 * time)) / RATE, 0)
    return sum(torch.sin(k * phase) / k for k in range(1, 9)) * torch.sin(3 * time).square() * 0.2


def main(steps: int = 300, path: str | None = None) -> list[float]:
    torch.manual_seed(0)
    speech = recording(path)
    encoder = nn.Sequential(nn.Conv1d(1, 64, FRAME, FRAME), nn.GELU(), nn.Conv1d(64, DIM, 3, padding=1))
    bottleneck = Bottleneck("rvq", "rotation", dim=DIM, channel_first=True, stages=8, codes=256, update_by="ema", restart=0.1)
    decoder = nn.Sequential(nn.Conv1d(DIM, 64, 3, padding=1), nn.GELU(), nn.ConvTranspose1d(64, 1, FRAME, FRAME))
    codec = nn.ModuleList([encoder, bottleneck, decoder])
    optimizer = torch.optim.Adam(codec.parameters(), 1e-3)
    errors = []
    for step in range(1, steps + 1):
        bottleneck.at(step, of=steps)
        start = torch.randint(len(speech) - 25 * FRAME, (8, 1))
        clips = speech[start + torch.arange(25 * FRAME)].unsqueeze(1)
        quantized, codes, loss = bottleneck(encoder(clips))
        error = (decoder(quantized) - clips).square().mean()
        optimizer.zero_grad()
        (error + loss).backward()
        optimizer.step()
        errors.append(float(error.detach()))
    codec.eval()
    clip = speech[: len(speech) // FRAME * FRAME].view(1, 1, -1)
    codes = bottleneck.encode(encoder(clip))  # (1, frames, 8)
    output = decoder(bottleneck.decode(codes))
    ratio = 10 * torch.log10(clip.square().mean() / (output - clip).square().mean())
    print(f"{codes[0].numel() * 8 * RATE / clip.numel() / 1000:.1f} kbit/s, signal to noise {ratio:.1f} dB")
    return errors


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
