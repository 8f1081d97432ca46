"""One machine: the engine, the baselines, the attacks, the sweep, the measures of speed, made-up speech.
It imports every ring.
"""
