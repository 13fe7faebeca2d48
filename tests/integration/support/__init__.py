"""What the integration tests use to drive lodge-vmm (see ../README.md)."""
