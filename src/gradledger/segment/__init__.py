"""Room: segment."""
