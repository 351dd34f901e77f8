"""Where a job stands in the queue, for templates."""

from django import template

from finetune_app.jobs import queue

register = template.Library()
register.filter("can_move_ahead", queue.can_move_ahead)
