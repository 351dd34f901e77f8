"""How many prompts drift is looked for in, and what counts as clearly different."""

MIN_PROMPTS = 30  # on each side; with fewer, chance alone reaches an AUC of 0.7 now and then
MAX_PROMPTS = 2_000  # on each side; the newest live ones
CLEAR_AUC = 0.75  # below it a difference is called slight, and by default no alert is raised
