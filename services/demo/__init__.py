"""The main job on real or generated data, as any client of the API would do it."""
