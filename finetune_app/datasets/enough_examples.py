"""How many examples are enough, for checks, advice and pages alike.

The numbers follow published advice (OpenAI, Google, Kiln): at least 10 examples, 50 to see an
effect, 100 for a good start. A method without training only needs about 20 test questions.
Some pages say them in words: grep templates/ and guide/advice/questions.py when you change one.
"""

MIN_EXAMPLES = 10  # fewer teach a model nothing reliable
PILOT_EXAMPLES = 50  # from here on an effect can be seen
STEADY_EXAMPLES = 100  # from here on results are steady
ENOUGH_TESTS = 20  # test examples needed to tell a real difference from chance
