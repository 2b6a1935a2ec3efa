"""How fast segmentation is, each figure beside what the best hand-written way takes in the same run."""
