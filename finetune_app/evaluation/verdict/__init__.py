"""What can honestly be concluded from paired results: pure Python, without the database.

computation.py  the verdict on two candidates, from the outcomes on the same prompts
statistics.py   tests and intervals, on prompts or on groups of them
limits.py       how sure it must be, and what each level asks for
sentences.py    the verdict in words
types.py        what these share
"""
