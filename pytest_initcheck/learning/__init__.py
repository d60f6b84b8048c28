"""Whether a model can fit its own batch: real steps, and what they reached of what there is."""
