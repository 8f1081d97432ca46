"""A deployed run from wish to result. It imports folder, and the server's wings."""
