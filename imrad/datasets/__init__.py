"""The embedded real cohort and synthetic cohorts with planted truth."""
