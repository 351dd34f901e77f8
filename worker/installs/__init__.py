"""Installs base models: the starter, and any model by hub id or from a local folder."""
