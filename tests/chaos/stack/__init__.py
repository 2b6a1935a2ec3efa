"""A whole stack of several replicas goes on while its parts are killed, paused and cut off."""
