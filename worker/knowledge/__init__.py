"""Documents: read, split into passages, embedded, searched."""
