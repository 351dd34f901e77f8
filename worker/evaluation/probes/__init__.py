"""Two safety probes of each adapter: does it refuse what it refused before, and does it give
training rows back?

run.py              both probes, one after the other
limits.py           every threshold and size
refusals.py         harmful and harmless requests, asked of base and tuned model
refusal_findings.py the counts, and the level and sentence that follow
recall_rows.py      which rows are tried, and what of them counts as repeated
recall.py           whether greedy decoding gives a row back, once its beginning is there
recall_findings.py  the counts, and the level and sentence that follow
finished_work.py    what is computed already, for a job that is continued
harmful.txt, harmless.txt  the requests, one a line; the same line of both sounds alike
"""
