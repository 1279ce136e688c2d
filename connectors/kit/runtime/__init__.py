"""Clock, identifiers, errors and key files: the few things the hub and the edges both stand on."""
