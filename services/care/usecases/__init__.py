"""What care does, one module per subject."""
