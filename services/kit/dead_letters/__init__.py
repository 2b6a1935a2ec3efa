"""Events that a service's consumers could not process: how they are kept, shown, put back and dropped."""
