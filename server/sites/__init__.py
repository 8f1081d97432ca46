"""The sites of a run: who they are, what they hold, whether they agree. It imports messages and below."""
