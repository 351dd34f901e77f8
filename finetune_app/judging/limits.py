"""What a judge has to pass before its opinion is shown."""

MIN_ANSWERED = 0.8  # share of the questions that it answers with A, B or T
MIN_ORDER_AGREEMENT = 0.65  # share of pairs on which both orders give the same answer
MIN_RIGHT = 0.5  # the lower bound of the share of control pairs it gets right, in each kind
MIN_AGREEMENT = 0.5  # the same for its agreement with people: above, it "agrees with your people"

MIN_CONTROLS, MAX_CONTROLS = 8, 20  # control pairs of each kind
ONE_SIDED = 0.7  # share of A (or B) among its answers, from which on it prefers a place
LOPSIDED = 0.3  # difference between two kinds that it fails, from which on the worse one is named
