"""A campaign goes out while senders, the database and the mail server are killed; nothing may be lost or doubled."""
