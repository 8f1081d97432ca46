"""The recogniser's speed: a hop, live streams over gRPC, hours of sound and a start, each in a process of its own."""
