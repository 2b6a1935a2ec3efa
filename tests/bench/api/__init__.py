"""What calls and events between services cost."""
