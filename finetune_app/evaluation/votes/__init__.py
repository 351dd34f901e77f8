"""Blind votes: people choose between two answers without knowing whose they are.

ballots.py       which pairs a voter is shown, in which order and on which side
voters.py        who votes: members of the team, and people who come by a link
links.py         links by which people without an account vote
limits.py        how often somebody without an account may vote
services.py      a vote is recorded, undone, counted
results.py       what people preferred, how well they agree, whether they took care
presenters.py    the same in sentences
forms.py         a new link, a new voter
views.py         the pages for members
public_views.py  the page behind a link (public_urls.py)
"""
