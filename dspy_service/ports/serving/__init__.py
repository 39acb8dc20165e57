"""What serving needs from outside: stores of programs, runs and conversations."""
