"""One fold's federation on one machine: its plan and folder, worker processes or Flower's own simulation, its
baselines; what all models of a run tell, and whether that keeps a budget. It imports the other rings.
"""
