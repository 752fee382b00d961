"""C that runs over memory in one pass, built where it runs; absent without a compiler.

Nothing here changes a model: results are figures of the books, accounts that carry them on, and
hashes of rows.
"""

from gradledger.native.hashes import CompiledHashes, compiled_hashes
from gradledger.native.law import Law
from gradledger.native.memory import same_bytes
from gradledger.native.passes import CompiledPasses, compiled_passes
from gradledger.native.team import share, take_turns

__all__ = [
    "CompiledHashes",
    "CompiledPasses",
    "Law",
    "compiled_hashes",
    "compiled_passes",
    "same_bytes",
    "share",
    "take_turns",
]
