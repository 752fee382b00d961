"""Room: log."""
