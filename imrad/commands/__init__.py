"""The commands of the command line, by what they are for; :mod:`imrad.cli` joins them."""
