"""Model states: fingerprints, digests and files, without torch.

What needs torch (items of a model, saving and loading) is in ``gradledger.state.torch_state``,
which an auditor never imports.
"""

from gradledger.state.arrays import byte_view, dtype_label, labelled
from gradledger.state.digest import digest_arrays
from gradledger.state.fingerprint import Fingerprint, fingerprint_arrays
from gradledger.state.projection import Projection
from gradledger.state.weights_file import (
    StoredArrays,
    model_file_digest,
    read_arrays,
    write_arrays,
)

__all__ = [
    "Fingerprint",
    "Projection",
    "StoredArrays",
    "byte_view",
    "digest_arrays",
    "dtype_label",
    "fingerprint_arrays",
    "labelled",
    "model_file_digest",
    "read_arrays",
    "write_arrays",
]
