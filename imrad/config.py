"""The config: one YAML, checked before anything runs."""
