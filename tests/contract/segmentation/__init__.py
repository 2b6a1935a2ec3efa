"""Tests of each RPC of segmentation; a package, so that its fixtures of package scope end with it."""
