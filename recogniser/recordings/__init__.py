"""Recordings, one or many, as a user names them: ``recognise``, its batches and what they write."""
