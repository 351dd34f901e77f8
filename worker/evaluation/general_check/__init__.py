"""Has the tuned model forgotten anything? Three cheap looks at what it was not taught.

perplexity.py    does ordinary text surprise it more than the base model?
instructions.py  does it still do as it is told?
collapse.py      do answers to unrelated prompts fall apart, or come out in the task's form?
check.py         the job's part: asks, caches the base's answers, reports
findings.py      what the numbers add up to: a level and a sentence
*.txt            the text, written for this project
"""
