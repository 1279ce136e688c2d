"""The log of a process that serves: one JSON line an event on standard output, with its level and its UTC time."""

from __future__ import annotations

import sys

import structlog


def log_json_lines() -> None:
    """Have every logger of this process write so."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
