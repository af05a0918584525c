"""Predictions of a workspace: what `predictions/*.yaml` ask for, learnt at past moments from what was known then, and scored for each person."""
