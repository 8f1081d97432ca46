"""What would leave in a run, before a site agrees to it. It imports every wing above, and the app."""
