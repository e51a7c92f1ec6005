"""What one training step of a library's model reads, found from its signature and configuration."""
