"""What the machine and the libraries were: what an executed replay needs to know."""

from __future__ import annotations

import platform
import sys
from typing import Any

import numpy as np
import torch
from torch import nn

from gradledger.native import compiled_passes


def read_environment(model: nn.Module) -> dict[str, Any]:
    """Return versions, threads, device kinds and determinism flags."""
    devices = sorted({str(value.device) for value in model.parameters()})
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "torch_threads": torch.get_num_threads(),
        "torch_interop_threads": torch.get_num_interop_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "passes": "torch" if compiled_passes() is None else "compiled",
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "devices": devices,
        "device_names": [
            torch.cuda.get_device_name(device) for device in devices if device.startswith("cuda")
        ],
    }
