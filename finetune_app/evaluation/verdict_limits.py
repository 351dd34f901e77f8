"""The thresholds of a verdict: how sure it must be, and what each level asks for."""

ALPHA = 0.05  # a difference counts when chance alone gives its split at most this often
CONFIDENCE = 1 - ALPHA  # of every interval
RARE, VERY_RARE = 0.01, 0.001  # the words for a split that chance gives at most this often

TIE_WITHIN = 0.01  # graded scores this close count as equal
MAX_LOSS_SHARE = 0.2  # of all prompts, for "consistently better"
NO_DIFFERENCE = 0.05  # the whole interval of the net gain must lie within this
MIN_GRADED = 30  # below, a bootstrap interval is too narrow to prove "no difference"
MANY_LOOKS = 3  # at one test set, from which on the verdict warns
