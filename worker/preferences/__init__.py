"""Two answers of a candidate to each prompt, for people to choose between."""
