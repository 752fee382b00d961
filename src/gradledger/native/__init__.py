"""Compiled passes: C that reads each tensor once, built where it runs; absent without a compiler.

Nothing here changes a model: results are figures of the books, and accounts that carry them on.
"""

from gradledger.native.passes import CompiledPasses, Law, compiled_passes

__all__ = ["CompiledPasses", "Law", "compiled_passes"]
