"""A consumer that does the least a real one does: it claims each batch and notes when it came."""
