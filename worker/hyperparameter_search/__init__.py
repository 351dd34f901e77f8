"""A search for better settings by successive halving: run.py, on the functions of a training."""
