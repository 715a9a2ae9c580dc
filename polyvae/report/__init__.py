"""The results of a run as one self-contained HTML page."""

from polyvae.report.answers import Answer, answers_of
from polyvae.report.figures import ReportFigure, run_figures
from polyvae.report.folder import FolderReport, refresh_manifest, report_of_folder
from polyvae.report.page import write_report

__all__ = [
    "Answer",
    "FolderReport",
    "ReportFigure",
    "answers_of",
    "refresh_manifest",
    "report_of_folder",
    "run_figures",
    "write_report",
]
