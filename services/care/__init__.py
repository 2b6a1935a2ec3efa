"""Care: cases, who works on them, and what was promised until when."""
