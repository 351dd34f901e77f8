"""Imports: look at a stranger's file, then read it, inside limits. No torch here."""
