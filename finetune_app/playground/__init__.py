"""Pages that ask a deployment: the team's playground, and a public chat page."""
