"""What a run tells the world: events in one order, at one pace, with exactly one ending."""
