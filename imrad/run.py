"""The run directory: digests, provenance, resume."""
