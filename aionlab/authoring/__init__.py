"""What authors write: definitions of workflows and activities, and the primitives that workflow code may call."""
