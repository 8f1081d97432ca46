"""The benchmark's page, its tables and its figures. It imports statistics and trials."""
