"""What other apps may want to know of a team's members."""

from django.dispatch import Signal

# Arguments `team_id`, `user_id`. Sent in the transaction in which a member leaves the team, or
# becomes one who only looks.
editor_left = Signal()
