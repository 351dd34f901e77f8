"""Defects that benchmarks/checks.py plants into real rows, made by code from a seed."""
