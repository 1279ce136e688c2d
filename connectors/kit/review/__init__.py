"""Masked traits for the reviewer: two records set side by side by a human who learns neither (ADR 0021)."""
