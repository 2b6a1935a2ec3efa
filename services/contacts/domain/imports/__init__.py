"""Reading files of contacts: bytes to rows, rows to drafts."""
