"""OpenAI's batch API: /v1/batches. A file of requests is answered in the background.

services.py      creates and cancels a batch
endpoints.py     which addresses a batch may ask, and what answers them
input_file.py    reads and validates the lines of the input file
jobs.py          the job: it validates, answers slice by slice, and writes the files
answering.py     one slice: asks the lines that are still without an answer
output_files.py  the two files that come of it: answers and errors
responses.py     a batch in OpenAI's format
"""
