"""Asking a deployment from a page: the team's playground, and a public chat page for others."""
