"""The forms in which readers get a run's events; each file is one."""
