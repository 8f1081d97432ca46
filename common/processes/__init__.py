"""Worker processes that start warm and end with whoever started them. It imports nothing of fedser but errors."""
