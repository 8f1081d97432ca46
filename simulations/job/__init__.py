"""The main job: ``fedser simulate`` from its wishes to its result. It imports engine and synthesis."""
