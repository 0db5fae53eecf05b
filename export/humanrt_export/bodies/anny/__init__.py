"""The free Anny body model."""
