"""The tests; `python run.py test` runs them all."""
