"""The program ``fedser`` and the commands of this ring; torch is imported inside commands alone. It imports every wing
of ``common``.
"""
