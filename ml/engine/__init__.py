"""What goes into an engine bundle for device makers beside the network: the reference runner."""
