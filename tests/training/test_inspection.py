"""Whether there is enough to train on, and the record that `inspect_trajectory` gives."""

import mdtraj
import numpy as np
import pytest

import polyvae as pv
from polyvae.training import TrainConfig, blocked_split
from polyvae.training.inspection import inspect_trajectory

BODY = np.array([[3.0, 0, 0], [-1, 0.5, 0.1], [-1, -1.2, 0.1], [-1, 0.4, 0.4], [0, 0.3, -0.6]])


def remembering(rng, n_frames, memory, n_atoms=5, noise=0.02):
    """A lopsided body whose coordinates are AR(1) processes."""
    body = np.concatenate([BODY, 0.7 * BODY + 4])[:n_atoms]
    state, frames = 0.0, []
    for step in rng.normal(size=(n_frames, *body.shape)):
        state = memory * state + np.sqrt(1 - memory**2) * step
        frames.append(body + noise * state)
    return np.array(frames, np.float32)


def trajectory_of(positions, **fields):
    frames = pv.load(positions, bonds=[[0, 1], [1, 2], [2, 3], [3, 4]])
    return frames.replace(times=np.arange(len(positions)) * 2.0, **fields)


def codes(report):
    return [finding.code for finding in report.findings]


def finding(report, code):
    (found,) = [finding for finding in report.findings if finding.code == code]
    return found


def test_a_clean_trajectory_has_no_finding(rng):
    report = inspect_trajectory(trajectory_of(remembering(rng, 400, 0.0)), chunk=64)
    assert report.findings == ()
    assert (report.count("error"), report.n_flipped_frames, report.n_degenerate_frames) == (0, 0, 0)
    assert report.n_coordinates == 9
    assert report.sampling.effective_frames > 200
    assert report.sampling.autocorrelation_ps == pytest.approx(2 * report.sampling.autocorrelation_time)


def test_the_public_name_is_this_inspection():
    assert pv.inspect_trajectory is inspect_trajectory


@pytest.mark.parametrize(("n_frames", "severity"), [(9, "error"), (1, "error"), (10, None)])
def test_fewer_than_ten_frames_cannot_be_split(rng, n_frames, severity):
    report = inspect_trajectory(trajectory_of(remembering(rng, n_frames, 0.0)))
    found = [finding.severity for finding in report.findings if finding.code == "too-few-frames"]
    assert found == ([] if severity is None else [severity])
    if severity:
        with pytest.raises(pv.InputError, match="at least 10 frames"):
            blocked_split(
                (n_frames,),
                validation_fraction=0.1,
                test_fraction=0.1,
                blocks=20,
                gap=0,
                correlation_time=1.0,
                seed=0,
            )


def test_a_stride_that_leaves_too_few_frames_is_mended_by_a_smaller_one(rng):
    frames = trajectory_of(remembering(rng, 60, 0.0))
    found = finding(inspect_trajectory(frames, stride=10), "too-few-frames")
    assert "only 6 good frames" in found.what
    assert found.options == {"stride": 1}
    assert "too-few-frames" not in codes(inspect_trajectory(frames, **found.options))


def test_correlated_frames_are_worth_less(rng):
    report = inspect_trajectory(trajectory_of(remembering(rng, 1000, 0.96)))
    # (1 + 0.96) / (1 - 0.96) = 49 frames, the longest of several estimates from twenty times as many.
    assert 25 < report.sampling.autocorrelation_time < 110
    found = finding(report, "few-independent-frames")
    assert (found.severity, found.argument) == ("warning", "ModelConfig(hidden=(64, 64))")
    assert "few-independent-frames" not in codes(
        inspect_trajectory(trajectory_of(remembering(rng, 1000, 0.0)))
    )


def test_blocks_with_room_for_the_gap_are_found_and_have_it(rng):
    report = inspect_trajectory(trajectory_of(remembering(rng, 1000, 0.9)))
    gap = int(np.ceil(report.sampling.autocorrelation_time))
    found = finding(report, "gap-cut-short")

    def split(blocks):
        return blocked_split(
            (1000,),
            validation_fraction=0.1,
            test_fraction=0.1,
            blocks=blocks,
            gap=gap,
            correlation_time=1.0,
            seed=0,
        )

    assert split(TrainConfig().blocks).gap < gap
    assert split(found.options["blocks"]).gap == gap
    assert found.argument == f"TrainConfig(blocks={found.options['blocks']})"


def test_too_many_coordinates_are_mended_by_a_selection(rng, tmp_path):
    top = mdtraj.Topology()
    chain = top.add_chain()
    for _ in range(5):
        residue = top.add_residue("ALA", chain)
        top.add_atom("CA", mdtraj.element.carbon, residue)
        top.add_atom("HA", mdtraj.element.hydrogen, residue)
    positions = remembering(rng, 22, 0.0, n_atoms=10) / 10
    frames = mdtraj.Trajectory(positions, top, time=np.arange(22.0))
    report = inspect_trajectory(frames)
    found = finding(report, "more-coordinates-than-frames")
    assert report.n_coordinates == 24
    assert found.options == {"atoms": "backbone"}
    again = inspect_trajectory(frames, atoms="name CA")
    assert again.n_coordinates == 9
    # What is chosen already is narrowed, not replaced.
    frames = frames[:12]
    found = finding(inspect_trajectory(frames, atoms="resid 0 to 3"), "more-coordinates-than-frames")
    assert found.options["atoms"].startswith("(resid 0 to 3) and ")


def test_axes_are_notes_with_their_frames(rng):
    positions = remembering(rng, 300, 0.0)
    flat = 2 * np.pi * np.arange(5) / 5
    positions[50] = np.stack([np.cos(flat), np.sin(flat), 0 * flat], axis=1)
    report = inspect_trajectory(trajectory_of(positions), start=10, chunk=70)
    found = finding(report, "degenerate-axes")
    assert (found.severity, found.command) == ("note", None)
    assert "do not choose them" in found.remedy
    assert [(place.frame, place.index) for place in found.frames] == [(50, 40)]
    assert report.degenerate_frames == (40,)
    assert report.n_degenerate_frames == 1


def test_the_pass_is_the_same_for_every_chunk(rng):
    positions = remembering(rng, 150, 0.5)
    positions[20] = positions[19]
    positions[60, 2] = np.nan
    whole = inspect_trajectory(positions, bonds="sequence")
    for chunk in (1, 7, 149):
        piecewise = inspect_trajectory(positions, bonds="sequence", chunk=chunk)
        assert piecewise.findings == whole.findings
        assert piecewise.flipped_frames == whole.flipped_frames
        assert piecewise.sampling.autocorrelation_time == pytest.approx(
            whole.sampling.autocorrelation_time, rel=1e-3
        )


def test_the_memory_of_a_run_grows_with_the_frames(rng):
    short, long = (inspect_trajectory(trajectory_of(remembering(rng, n, 0.0))) for n in (50, 500))
    assert short.run_memory_mb < long.run_memory_mb
    assert short.run_memory_mb > short.memory_mb
