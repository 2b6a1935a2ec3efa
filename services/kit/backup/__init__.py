"""Backups of the services' databases: one moment of all of them, each as an archive of pg_dump, and a manifest.

Knows databases and streams, and no business.
"""
