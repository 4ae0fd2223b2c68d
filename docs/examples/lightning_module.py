"""A bottleneck in PyTorch Lightning (`pip install lightning`): schedules follow the trainer's steps.

python docs/examples/lightning_module.py [STEPS]
"""

import sys

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from quantbench.nn import Bottleneck


class Autoencoder(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(16, 8), nn.Linear(8, 16)
        self.bottleneck = Bottleneck("vq", "soft_to_hard", dim=8, codes=64)
        self.errors: list[float] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        (x,) = batch
        self.bottleneck.at(self.global_step + 1, of=self.trainer.max_steps)
        quantized, _, loss = self.bottleneck(self.encoder(x))
        error = (self.decoder(quantized) - x).square().mean()
        self.errors.append(float(error.detach()))
        return error + loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 3e-3)


def main(steps: int = 200) -> list[float]:
    lightning.seed_everything(0, verbose=False)
    data = DataLoader(TensorDataset(torch.randn(4096, 4) @ torch.randn(4, 16)), batch_size=128, shuffle=True)
    model = Autoencoder()
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, data)
    print(f"mean square error {model.errors[-1]:.3f} after {steps} steps")
    return model.errors


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
