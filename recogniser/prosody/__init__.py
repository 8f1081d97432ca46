"""How something was said, in numbers that a clinician knows: rate, pauses, pitch, level. Descriptive, no diagnosis.

From the columns of level and pitch that the features have anyway; numpy alone.
"""
