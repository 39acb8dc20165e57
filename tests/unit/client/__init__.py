"""The SDK, over transports and without a service."""
