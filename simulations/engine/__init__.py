"""One fold's federation on one machine: its plan and folder, worker processes or Flower's own simulation, its
baselines. It imports the other rings.
"""
