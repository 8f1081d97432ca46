"""Which utterances of a corpus take part, and what is wrong with them.

It imports corpora, audio, processes and below.
"""
