"""Units in the last place against the standard library and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import UpdateError
from gradledger.update import precision_of
from gradledger.update.precision import two_ulp


def bound(first, second, compute=None):
    compute = compute or first.dtype
    out, work = torch.empty(2, first.numel(), dtype=compute)
    return two_ulp(first, second, out, work)


normal = st.floats(-1e300, 1e300).filter(lambda x: x == 0.0 or abs(x) > 1e-290)


@given(st.tuples(normal, normal))
def test_float64_agrees_with_math(pair):
    first, second = (torch.tensor([x], dtype=torch.float64) for x in pair)
    expected = 2 * math.ulp(max(abs(pair[0]), abs(pair[1])))
    assert float(bound(first, second)[0]) == pytest.approx(expected, rel=1e-15, abs=1e-307)


def test_float32_agrees_with_numpy():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(500, generator=generator) * 10.0 ** torch.arange(-25, 25).repeat(10)
    second = first.flip(0) * 1e-3
    larger = np.maximum(np.abs(first.numpy()), np.abs(second.numpy()))
    np.testing.assert_allclose(bound(first, second).numpy(), 2 * np.spacing(larger), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "eps"), [(torch.float16, 2**-10), (torch.bfloat16, 2**-7)])
def test_half_formats(dtype, eps):
    first = torch.tensor([1.0, -1.5, 4.0, 0.0], dtype=dtype)
    second = torch.tensor([0.5, 3.0, -1.0, 0.0], dtype=dtype)
    expected = torch.tensor([1.0, 2.0, 4.0]) * 2 * eps
    result = bound(first, second, torch.float32)
    assert torch.allclose(result[:3], expected, rtol=1e-4)
    assert 0.0 < float(result[3]) < 1e-6


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int32, torch.float8_e5m2])
def test_other_formats_are_refused_by_name(dtype):
    with pytest.raises(UpdateError) as caught:
        precision_of(dtype)
    assert caught.value.code == "U103"
    assert "bfloat16" in caught.value.expected
