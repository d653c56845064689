"""The parts of the live test: what it runs against, and a module for each subject that it checks."""
