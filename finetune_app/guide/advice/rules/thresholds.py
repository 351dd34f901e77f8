"""The numbers of examples, test questions and documents from which the rules decide otherwise."""

# Example pairs: below MIN never enough, from PILOT a pilot, from STEADY reliable.
MIN_PAIRS, PILOT_PAIRS, STEADY_PAIRS = 10, 50, 100
# Test questions. A dataset of 50 examples holds back at least 8, so 8 are enough to start.
MIN_TESTS, ENOUGH_TESTS = 8, 20
FEW_DOCUMENTS = 3  # that probably fit into the instructions
