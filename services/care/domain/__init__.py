"""The rules of care, without input or output."""
