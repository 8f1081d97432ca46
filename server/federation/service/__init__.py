"""SuperLink and proxy, kept running; who is let in. It imports folder."""
