"""The thorough check of a dataset, in a child process."""
