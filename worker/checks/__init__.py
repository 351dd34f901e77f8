"""The thorough check of a dataset, in its own process."""
