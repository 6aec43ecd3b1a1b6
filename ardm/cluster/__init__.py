"""Training on Ray. In a job's process, this import sets the submitting shell's variables first."""

from ardm.cluster import shell_variables

shell_variables.load()
