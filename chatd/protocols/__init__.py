"""The ways in: each file turns one wire and one dialect into commands, and what is shown into bytes."""
