"""What sales can do: one function for each action."""
