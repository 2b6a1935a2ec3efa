"""A consumer of its own in a chaos run, whose effect is there twice when an event had it twice."""
