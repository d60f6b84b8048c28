"""Reads handwritten postcodes."""
