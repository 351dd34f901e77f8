"""Signals for apps above this one that store data derived from texts."""

from django.dispatch import Signal

# Texts of a deployment were deleted: those older than `before`, or all of them if it is None.
# Arguments: deployment_id, before.
texts_deleted = Signal()
