"""The objective as a function of what the last layers hand over: its floor, what bounds it."""
