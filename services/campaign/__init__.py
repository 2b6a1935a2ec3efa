"""The campaign service: templates, campaigns, journeys, coupons, and the ledger of messages."""
