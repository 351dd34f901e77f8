"""An evaluation for people who have no account here: a report, and every answer as a table.

contents.py   what the report says, as plain data (sections.py, from the facts of facts.py)
additions.py  what rooms above this one add to it
examples.py   the ten examples in it, chosen by a fixed rule
html.py       one HTML file that asks for nothing else
pdf.py        the same as PDF, set by a child process (worker/report_pdf.py)
answers.py    every prompt with all answers, as CSV or JSON lines
views.py      the downloads
"""
