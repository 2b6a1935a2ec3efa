"""All queries of sales, one module per subject."""
