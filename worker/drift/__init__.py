"""Compares the live prompts of a deployment with its training prompts."""
