"""A training script as people write them; the five calls of the recorder are all that was added."""

# ruff: noqa: S311, NPY002, B905, T201 - it is written as people write training scripts.

import random
import sys

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, Dataset

import gradledger as gl

EPOCHS, ACCUMULATE = 4, 2


class Digits(Dataset):
    """Noisy bars, shifted and flipped at random whenever they are read."""

    def __init__(self, size=28):
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.randint(0, 4, (size,), generator=generator)
        self.images = torch.zeros(size, 1, 8, 8)
        for place, label in enumerate(self.labels):
            self.images[place, 0, 2 * label : 2 * label + 2] = 1.0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, place):
        image = self.images[place] + 0.1 * torch.randn(1, 8, 8)
        if random.random() < 0.5:
            image = image.flip(-1)
        return image.roll(int(np.random.randint(-1, 2)), -1), self.labels[place]


def main(run_dir, seed=0):
    torch.manual_seed(seed), random.seed(seed), np.random.seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(216, 4)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    run = gl.record(run_dir, model, optimizer, state_every=3, verify_content=False)
    loader = DataLoader(run.admit(Digits()), batch_size=4, shuffle=True, num_workers=2)
    scheduler = CosineAnnealingLR(optimizer, T_max=EPOCHS * len(loader) // ACCUMULATE)
    run.track(scheduler=scheduler)
    for epoch in range(EPOCHS):
        batches, losses = iter(run.batches(loader)), []
        for micro_batches in zip(batches, batches):
            with run.step() as step:
                for batch in micro_batches:
                    with step.micro_batch(batch):
                        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
                        (loss / ACCUMULATE).backward()
                        losses.append(loss.item())
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            scheduler.step()
        print(f"epoch {epoch}: summed loss {sum(losses):.3f}", flush=True)
    run.close()
    torch.save(model.state_dict(), f"{run_dir}.pt")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
