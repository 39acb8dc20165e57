"""What can be asked for by name: optimizers and modules, with the kwargs that each accepts."""
