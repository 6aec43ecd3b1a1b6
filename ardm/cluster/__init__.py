"""Runs on Ray. A process of a job gets the variables of the submitting shell before all else."""

from ardm.cluster import shell_variables

shell_variables.load()
