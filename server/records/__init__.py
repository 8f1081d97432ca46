"""What the coordinator keeps and checks beside the model: audit log, log heads, ledgers' figures, what several models
tell together, its own noise. It imports sites and below.
"""
