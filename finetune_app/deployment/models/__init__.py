"""Deployments and their releases."""

from finetune_app.deployment.models.deployment import Deployment, Release

__all__ = ["Deployment", "Release"]
