"""The sales service: what was sold, returned and paid."""
