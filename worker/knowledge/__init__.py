"""Documents: read, cut into passages, made searchable."""
