"""Convolutions and normalisations of images in all their options, against single rows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gradledger.errors import GradientError
from gradledger.gradient import Capture, survey
from gradledger.gradient.dense import Dense
from gradledger.gradient.sliding import Sliding

sys.path.insert(0, str(Path(__file__).parent))
from cases import Around
from harness import captured, check, check_routed, mean_square, random_input, randomised

# A remark of torch on its own speed.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

seeds = st.integers(0, 2**31)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Module, Tensor]:
    axes = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    dilation = [draw(st.integers(1, 2)) for _ in range(axes)]
    padding: object = draw(st.sampled_from(["same", "valid", "numbers"]))
    stride = [1] * axes if padding == "same" else [draw(st.integers(1, 3)) for _ in range(axes)]
    if padding == "numbers":
        padding = tuple(draw(st.integers(0, 2)) for _ in range(axes))
    extents = [
        draw(st.integers(1, 3)) + d * (k - 1) + 2 for k, d in zip(kernel, dilation, strict=True)
    ]
    seed = draw(seeds)
    torch.manual_seed(seed)
    module = CONVOLUTIONS[axes - 1](
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        tuple(kernel),
        stride=tuple(stride),
        padding=padding,
        dilation=tuple(dilation),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    )
    rows = random_input(seed, draw(st.integers(1, 4)), module.in_channels, *extents)
    return randomised(module), rows


@given(convolutions())
@settings(max_examples=80, deadline=None)
def test_convolutions(case: tuple[nn.Module, Tensor]) -> None:
    check(*case, mean_square)


@given(convolutions())
@settings(max_examples=25, deadline=None)
def test_convolutions_take_depth_weights(case: tuple[nn.Module, Tensor]) -> None:
    check_routed(*case, mean_square)


@st.composite
def transposed(draw: st.DrawFn) -> tuple[nn.Module, Tensor]:
    axes, groups = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    seed = draw(seeds)
    torch.manual_seed(seed)
    module = TRANSPOSED[axes - 1](
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        tuple(draw(st.integers(2, 3)) for _ in range(axes)),
        stride=stride,
        padding=draw(st.integers(0, 1)),
        output_padding=tuple(draw(st.integers(0, step - 1)) for step in stride),
        groups=groups,
        bias=draw(st.booleans()),
        dilation=draw(st.integers(1, 2)),
    )
    extents = (draw(st.integers(2, 4)) for _ in range(axes))
    return randomised(module), random_input(
        seed, draw(st.integers(1, 4)), module.in_channels, *extents
    )


@given(transposed())
@settings(max_examples=50, deadline=None)
def test_transposed_convolutions(case: tuple[nn.Module, Tensor]) -> None:
    check(*case, mean_square)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), seeds)
@settings(max_examples=30, deadline=None)
def test_group_norm(r: int, groups: int, per: int, axes: int, seed: int) -> None:
    # At least two elements in a group: one alone normalises to zero.
    x = random_input(seed, r, groups * per * 2, *(2 + axis for axis in range(axes)))
    check(randomised(nn.GroupNorm(groups, groups * per * 2)), x, mean_square)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_instance_norm(axes: int, tracked: bool, training: bool) -> None:
    kind = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[axes - 1]
    module = randomised(kind(3, affine=True, track_running_stats=tracked)).train(training)
    check(module, random_input(axes, 4, 3, *([3] * axes)), mean_square)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_batch_norm_in_evaluation_mode(kind: type[nn.Module]) -> None:
    module = randomised(kind(3)).eval()
    module.running_mean.add_(0.3)
    module.running_var.mul_(1.7)
    axes = [4] if kind is nn.BatchNorm1d else [4, 5]
    check(module, random_input(0, 4, 3, *axes), mean_square)
    check_routed(module, random_input(0, 4, 3, *axes), mean_square)


def test_batch_norm_that_goes_back_to_training_is_refused() -> None:
    module = randomised(nn.BatchNorm1d(3)).eval()
    capture = Capture(survey(module, module.parameters()).units)
    module.train()
    capture.attach()
    with (
        capture.micro_batch(4, {}),
        pytest.raises(GradientError) as caught,
    ):
        mean_square(module, random_input(0, 4, 3, 5)).sum().backward()
    assert caught.value.code == "G102"


@pytest.mark.parametrize("images", [1, 3])
def test_images_of_one_row_add_up(images: int) -> None:
    """Frames folded into the batch axis, as video models do."""

    def fold(module: nn.Module, x: Tensor) -> Tensor:
        return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    for module in (nn.Conv2d(2, 3, 2), nn.GroupNorm(1, 2), nn.ConvTranspose2d(2, 3, 2)):
        model = Around(randomised(module), fold)
        check(model, random_input(1, 4, images, 2, 3, 3), mean_square)
        check_routed(model, random_input(2, 4, images, 2, 3, 3), mean_square)


def form_of(module: nn.Module, x: Tensor) -> object:
    capture = Capture(survey(module, [module.weight]).units)
    capture.attach()
    with capture.micro_batch(len(x), {}):
        module(x).square().sum().backward()
    capture.detach()
    return capture.uses(module.weight)[0].form


def test_the_smaller_of_gradients_and_factors_is_kept() -> None:
    small_weight = form_of(nn.Conv2d(2, 2, 3).double(), random_input(0, 3, 2, 12, 12))
    assert isinstance(small_weight, Dense)
    small_image = form_of(nn.Conv2d(16, 16, 3).double(), random_input(0, 3, 16, 3, 3))
    assert isinstance(small_image, Sliding)


def test_working_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unfolded rows come in several runs, with the same result."""
    monkeypatch.setattr("gradledger.gradient.sliding.UNFOLDED_ELEMENTS", 1000)
    for width, extent in ((2, 9), (12, 3)):
        x = random_input(1, 5, width, extent, extent)
        check(randomised(nn.Conv2d(width, width, 3, padding=1)), x, mean_square)
        check_routed(randomised(nn.Conv2d(width, width, 3, padding=1)), x, mean_square)


def test_channels_last_memory() -> None:
    x = random_input(1, 4, 3, 5, 5).to(memory_format=torch.channels_last)
    model = randomised(nn.Conv2d(3, 4, 3, padding=1)).to(memory_format=torch.channels_last)
    found = captured(model, x, mean_square)[0]["weight"]
    again = captured(model, x.contiguous(), mean_square)[0]["weight"]
    assert torch.allclose(found, again, rtol=1e-12)


def test_an_image_without_row_axis_is_refused() -> None:
    model = randomised(nn.Conv1d(4, 2, 2))
    with pytest.raises(GradientError) as caught:
        captured(model, random_input(0, 4, 6), lambda m, x: m(x).sum().view(1))
    assert caught.value.code == "G101"
