"""Imports: inspects and reads files that people bring, within limits. Never imports torch."""
