"""The results of a run as one self-contained HTML page."""

from polyvae.report.answers import Answer, answers_of
from polyvae.report.figures import ReportFigure, run_figures
from polyvae.report.page import write_report

__all__ = ["Answer", "ReportFigure", "answers_of", "run_figures", "write_report"]
