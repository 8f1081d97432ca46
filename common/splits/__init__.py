"""Who is held out, and which site holds whom: folds, sites, and the plan of a fold. It imports storage and below."""
