"""The views of the dataset pages."""
