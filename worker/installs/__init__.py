"""Bringing base models in: the starter, and any model by hub id or from a local folder."""
