"""The report draws the tables a run has written; it fits nothing."""
