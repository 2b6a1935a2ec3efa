"""All queries of the service: the only package that names its tables beside models."""
