"""The command `vision`: photos on the command line, answered by a running service."""
