"""A search for better settings: short trials, of which the better half goes on. Read in this order:

trials.py              the settings that are tried, each with a sentence
successive_halving.py  how far each trial goes, which go on, and which one wins
models.py              a search, its trials, and what they reached
services.py            start, stop, continue, and train with the winner's settings
jobs.py                what the worker gets; worker/hyperparameter_search/ does the work
presenters.py          the pages
"""
