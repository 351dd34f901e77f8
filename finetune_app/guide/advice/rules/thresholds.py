"""The numbers of test questions and documents from which the rules decide otherwise.

Those of examples, and of test questions that are enough: datasets/enough_examples.py.
"""

MIN_TESTS = 8  # enough to start: a dataset of 50 examples holds back at least 8
FEW_DOCUMENTS = 3  # that probably fit into the instructions
