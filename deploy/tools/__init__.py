"""Tools for whoever works on the deployment; none of them is in the image."""
