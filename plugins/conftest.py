"""The template's tests need it installed; tests/plugins/test_plugin_template.py runs them on a copy."""

collect_ignore = ["template"]
