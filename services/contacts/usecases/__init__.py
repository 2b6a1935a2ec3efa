"""What callers can do with contacts: each function loads, decides, saves and tells in one transaction."""
