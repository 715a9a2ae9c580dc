"""A score for any ensemble against a reference: geometry, distributions, coverage, novelty, each with its verdict."""

from polyvae.analysis.scoring.record import EnsembleScore, RamachandranMap, ScoreRow
from polyvae.analysis.scoring.score import score_ensemble

__all__ = ["EnsembleScore", "RamachandranMap", "ScoreRow", "score_ensemble"]
