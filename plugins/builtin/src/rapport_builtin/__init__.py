"""The plugins that Rapport brings along, on the same hooks as everyone's."""
