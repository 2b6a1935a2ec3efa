"""The benchmark of campaign: mails, planning, journeys and shared limits beside the barest way to do the same."""
