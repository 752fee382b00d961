"""Room: rights."""
