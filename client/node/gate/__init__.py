"""The outbound gate: what may leave, made anew value by value. It imports policy."""
