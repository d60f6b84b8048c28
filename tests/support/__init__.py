"""What tests of several rooms share: models, batches, records and how to read findings."""
