"""One machine: the engine, the baselines, synthetic corpora and the benchmarks."""
