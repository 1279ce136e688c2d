"""What starts the processes of a demonstration or a test."""

from __future__ import annotations

from hub.cli.demo.processes import free_ports


def test_no_two_of_a_deployment_get_one_port() -> None:
    """Drawn one after the other, five hundred of some fourteen thousand would hardly ever all differ."""
    assert len(set(free_ports(500))) == 500
