"""The torch half of model states: everything that recording and replaying need, in one place."""

from gradledger.state.torch_copies import Copies
from gradledger.state.torch_encoding import decode, encode
from gradledger.state.torch_fingerprint import fingerprint_tensors, training_fingerprint
from gradledger.state.torch_folder import (
    LoadedState,
    StoredState,
    load_state,
    model_digest,
    read_state,
    restore_rng,
    save_state,
)
from gradledger.state.torch_items import (
    array_tensor,
    model_aliases,
    model_items,
    model_tensors,
    optimizer_items,
    tensor_array,
)
from gradledger.state.torch_rng import (
    RngState,
    preserved_rng,
    read_rng,
    rng_fingerprint,
    write_rng,
)

__all__ = [
    "Copies",
    "LoadedState",
    "RngState",
    "StoredState",
    "array_tensor",
    "decode",
    "encode",
    "fingerprint_tensors",
    "load_state",
    "model_aliases",
    "model_digest",
    "model_items",
    "model_tensors",
    "optimizer_items",
    "preserved_rng",
    "read_rng",
    "read_state",
    "restore_rng",
    "rng_fingerprint",
    "save_state",
    "tensor_array",
    "training_fingerprint",
    "write_rng",
]
