"""Has the tuned model forgotten anything? Three cheap checks of what it was not taught.

perplexity.py    is ordinary text harder to predict than for the base model?
instructions.py  does it still follow instructions?
collapse.py      do answers to unrelated prompts degenerate, or take on the task's form?
check.py         generates the answers, caches those of the base model, emits the result
findings.py      the numbers, and the level and sentence that follow
*.txt            the text, written for this project
"""
