"""Work that Nexus does by itself: the driver, what tasks tell each other by, and the tasks."""
