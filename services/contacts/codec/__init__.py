"""Between the messages of the API and the objects of the domain."""
