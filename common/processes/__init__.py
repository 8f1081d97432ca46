"""Worker processes that start warm and end with whoever started them, and what the machine gives them: cores, a home. It imports nothing of fedser but errors."""
