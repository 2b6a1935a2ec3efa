"""Tests of each RPC of campaign; a package, so that its fixtures of package scope end with it."""
