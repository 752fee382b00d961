"""Small whole models, each with data and a loss for every row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)

NUM_TOKENS, LENGTH, NUM_CLASSES, NUM_EXAMPLES = 13, 7, 5, 12


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean next-token loss of each row."""
    flat = nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    return flat.view(len(tokens), -1).mean(1)


def class_loss(logits: Tensor, images: Tensor) -> Tensor:
    """Loss of each row against a class that its content decides."""
    labels = images.flatten(1).argmax(1) % NUM_CLASSES
    return nn.functional.cross_entropy(logits, labels, reduction="none")


@dataclass(frozen=True)
class Zoo:
    """One model of the zoo.

    Attributes:
        build: Makes the model, always with the same weights.
        loss: Loss of each row.
        shape: Shape of one image; None for token sequences.
        precise: Whether the model computes in the dtype of its parameters throughout.
    """

    build: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Tensor], Tensor]
    shape: tuple[int, ...] | None = None
    precise: bool = True

    def rows(self, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        if self.shape is None:
            return torch.randint(0, NUM_TOKENS, (NUM_EXAMPLES, LENGTH), generator=generator)
        return torch.randn(NUM_EXAMPLES, *self.shape, generator=generator).to(dtype)

    def model(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        torch.manual_seed(3)
        return self.build().to(dtype).train()


def gpt2(dropout: float) -> nn.Module:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=NUM_TOKENS,
            n_positions=LENGTH,
            n_embd=8,
            n_layer=2,
            n_head=2,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            attn_implementation="eager",
        )
    )


def llama() -> nn.Module:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=NUM_TOKENS,
            hidden_size=8,
            intermediate_size=12,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=LENGTH,
        )
    )


def vit() -> nn.Module:
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=12,
            image_size=8,
            patch_size=4,
            num_channels=2,
            num_labels=NUM_CLASSES,
        )
    )


class Residual(nn.Module):
    """Two convolutions around a skip, with in-place activations."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(2, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding="same", bias=False)
        self.norm2 = nn.GroupNorm(2, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride=stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.second(self.relu(self.norm1(self.first(x)))))
        return nn.functional.silu(y + self.skip(x))


def residual_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"),
        Residual(4, 4, 1),
        Residual(4, 8, 2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, NUM_CLASSES),
    )


def perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 9), nn.GELU(), nn.LayerNorm(9), nn.Linear(9, 9), nn.PReLU(), nn.Linear(9, 5)
    )


class Positions(nn.Module):
    """Adds a learned vector for each position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(LENGTH, width) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[: x.shape[1]]


class Translator(nn.Module):
    """Encoder and decoder of torch, with attention across."""

    def __init__(self, dropout: float, batch_first: bool = True) -> None:
        super().__init__()
        options = {"dropout": dropout, "batch_first": batch_first}
        self.batch_first = batch_first
        self.embed = nn.Embedding(NUM_TOKENS, 8)
        self.positions = Positions(8)
        self.encoder = nn.ModuleList(
            [nn.TransformerEncoderLayer(8, 2, 12, **options) for _ in range(2)]
        )
        self.decoder = nn.ModuleList([nn.TransformerDecoderLayer(8, 2, 12, **options)])
        self.head = nn.Linear(8, NUM_TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.positions(self.embed(tokens))
        x = x if self.batch_first else x.transpose(0, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], dtype=x.dtype)
        y = x
        for layer in self.encoder:
            y = layer(y, src_mask=mask, is_causal=True)
        for layer in self.decoder:
            x = layer(x, y, tgt_mask=mask, memory_mask=mask)
        return self.head(x if self.batch_first else x.transpose(0, 1))


class Reader(nn.Module):
    """A recurrent network between embedding and head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(NUM_TOKENS, 6)
        self.read = nn.LSTM(6, 5, num_layers=2, batch_first=True)
        self.head = nn.Linear(5, NUM_TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.read(self.embed(tokens))[0])


def language_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    return next_token_loss(model(input_ids=tokens).logits, tokens)


def plain_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    return next_token_loss(model(tokens), tokens)


def image_loss(model: nn.Module, images: Tensor) -> Tensor:
    return class_loss(model(images), images)


def vit_loss(model: nn.Module, images: Tensor) -> Tensor:
    return class_loss(model(pixel_values=images).logits, images)


ZOO = {
    "gpt2": Zoo(lambda: gpt2(0.0), language_loss),
    # Its normalisation and rotations are computed in float32 by its own choice.
    "llama": Zoo(llama, language_loss, precise=False),
    "vit": Zoo(vit, vit_loss, (2, 8, 8)),
    "residual network": Zoo(residual_network, image_loss, (2, 6, 6)),
    "perceptron": Zoo(perceptron, image_loss, (6,)),
    "torch transformer": Zoo(lambda: Translator(0.0), plain_loss),
    "recurrent": Zoo(Reader, plain_loss),
}

#: The same with random numbers in the forward pass.
NOISY = {
    "gpt2": Zoo(lambda: gpt2(0.2), language_loss),
    "torch transformer": Zoo(lambda: Translator(0.2), plain_loss),
}
