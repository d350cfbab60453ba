"""What the control plane is to consist of: blueprints and everything that is decided about them. Pure."""
