"""The kinds of models that a run can have: what each reads out of an utterance's frames, and its classifier."""
