"""Signals for apps that depend on this one, which never imports them."""

from django.dispatch import Signal

examples_changed = Signal()  # argument `dataset`: an edit of its examples is complete
