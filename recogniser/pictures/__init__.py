"""A recording as a picture: waveform, spectrogram, F0, speech and what the model heard under one time axis.

matplotlib is imported where something is drawn.
"""
