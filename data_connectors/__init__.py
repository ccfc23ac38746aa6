"""Bytes from public services to verified files; knows nothing of imrad."""
