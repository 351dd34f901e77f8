"""Three cheap checks of whether a tuned model has forgotten general abilities.

perplexity.py    whether ordinary text is harder to predict than for the base model
instructions.py  whether it still follows instructions
collapse.py      whether answers to unrelated prompts degenerate, or take the task's form
check.py         generates the answers, caches those of the base model, emits the result
findings.py      the numbers, and the level and sentence that follow
*.txt            the text, written for this project
"""
