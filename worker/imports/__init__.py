"""Imports: inspects and reads uploaded files, within limits. Never imports torch."""
