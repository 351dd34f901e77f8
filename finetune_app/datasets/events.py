"""What the rooms above are told: they connect to these signals, this room never imports them."""

from django.dispatch import Signal

examples_changed = Signal()  # dataset: somebody's edit of its examples is complete
