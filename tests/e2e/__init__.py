"""Tests on whole stacks; a package, so that fixtures of package scope end with it."""
