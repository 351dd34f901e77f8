"""What other apps may want to know of a training."""

from django.dispatch import Signal

# Argument `training`. Sent in the transaction in which it succeeds, once its hash is recorded.
training_succeeded = Signal()
