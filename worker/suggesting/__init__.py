"""Answers that a candidate proposes for rows that have none."""
