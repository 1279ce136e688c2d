"""What every face shares: problems, bodies, sign-in, the log line."""
