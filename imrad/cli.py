"""The command line: one command a stage, no science."""


def main() -> None:
    """Entry point."""
