"""What the service does, one function per action: load, decide, save, tell."""
