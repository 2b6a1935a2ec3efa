"""Templates rendered in expendable child processes: bounded in time, memory and output, killed and started anew."""
