"""A judge model compares the answers of an evaluation, once it has passed its control pairs."""
