"""How large a sheet of prompts may be."""

MAX_PROMPTS = 200
MAX_PROMPT_CHARACTERS = 20_000
MAX_FILE_BYTES = 4 * 1024**2
MIN_CANDIDATES, MAX_CANDIDATES = 2, 5  # more do not fit beside each other
MAX_NOTE_CHARACTERS = 2_000
