"""Sound in, emotions out: one class for files and live sound, and the commands ``recognise`` and ``listen``."""
