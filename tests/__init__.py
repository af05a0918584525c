"""Tests of kundig: each kind has one home, as CONTRIBUTING.md says."""
