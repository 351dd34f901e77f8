"""The pages of the wizard: its questions, one a screen, and the letter that answers them.

question_screens.py  the questions as screens; known.py what need not be asked
services.py   the writes; forms.py, views.py
letter.py     an advice as a letter; method_comparison.py the three methods side by side
"""
