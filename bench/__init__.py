"""Speed, as ratios taken side by side in one run against the bare limit of the same stack. Never part of the tests."""
