"""The parts of `make bench`: each measures one side of the program in a process of its own."""
