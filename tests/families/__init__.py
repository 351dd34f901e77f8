"""One matrix of tests that every family of models passes before it is offered."""
