"""Room: canon."""
