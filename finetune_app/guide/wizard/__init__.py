"""The pages of the wizard: its questions, one per screen, and the letter with the advice.

question_screens.py   the questions as screens
known_facts.py        what need not be asked
letter.py             an advice as a letter
method_comparison.py  the three methods side by side
"""
