"""Worked examples of every command, which its help ends with."""

EXAMPLES = {
    "run": r"""
# alpha carbons of a protein, every tenth frame
polyvae run run.xtc --top system.pdb --atoms "name CA" --stride 10 -o results
# what that would take, before it is done
polyvae run run.xtc --top system.pdb --dry-run
# a run again, bit for bit
polyvae run --config results/run.toml -o again
""",
    "train": r"""
# a model with three latent dimensions, and no analyses
polyvae train run.xtc --top system.pdb --latent-dim 3 -o model
# go on where Ctrl-C stopped it
polyvae train run.xtc --top system.pdb --latent-dim 3 -o model --resume
# a slow coordinate
polyvae train run.xtc --top system.pdb --lag-time 10 --vamp-weight 100 \
    --batch-size 1000 -o slow
""",
    "encode": r"""
# new frames, as a table
polyvae encode results more.xtc --top system.pdb -o more.csv
# every tenth frame, as arrays
polyvae encode results more.xtc --top system.pdb --stride 10 -o more.npz
""",
    "generate": r"""
# a trajectory, with new.pdb as its topology
polyvae generate results -n 500 -o new.xtc
# none with overlapping atoms
polyvae generate results -n 500 --reject-overlaps --seed 7 -o new.npz
""",
    "marginals": r"""
# generated against simulated conformations
polyvae marginals run.xtc new.xtc --top system.pdb --atoms "name CA" \
    --ensemble.top new.pdb
# the same as JSON, with all histograms in a file
polyvae marginals run.npz new.npz --json -o marginals.npz
""",
    "score": r"""
# generated conformations against held-out ones
polyvae score run.xtc new.xtc --top system.pdb --atoms "name CA" --ensemble-top new.pdb
# with a test for memorized frames, numbers and figure
polyvae score test.npz new.npz --training train.npz -o score.json --figure score.png
""",
    "minimize-rg": r"""
# the best of a hundred descents
polyvae minimize-rg results -o compact.pdb --starts 100
# longer descents, of a bead model
polyvae minimize-rg results -o compact.npz --starts 20 --steps 500
""",
    "fes": r"""
# along both latent dimensions
polyvae fes run.xtc --top system.pdb --model results --along z1 z2 --figure fes.png
# along an observable, at 350 K
polyvae fes run.xtc --top system.pdb --along radius_of_gyration \
    --temperature 350 -o rg.npz
# from a latent trajectory that is there already
polyvae fes results/latent.npz --along z1 --json
""",
    "kinetics": r"""
# scores on frames that the model has not seen
polyvae kinetics results run.xtc --top system.pdb --lag-time 10 \
    --split results/split.npz
# with a Markov model of 50 states
polyvae kinetics results run.xtc --top system.pdb --lag-time 10 \
    --n-states 50 -o kinetics
""",
    "optimize": r"""
# stretched to 2 nm, beside the nearest frames
polyvae optimize results --observable end_to_end_distance --target 2.0 \
    --trajectory run.xtc --top system.pdb -o stretched.pdb
# the largest distance of two atoms
polyvae optimize results --observable distance:3-17 --goal maximize -o far.pdb
""",
    "path": r"""
# between two structures
polyvae path results start.pdb end.pdb -n 50 -o path.pdb
# between two frames, where the data are
polyvae path results 0 120 --trajectory run.xtc --top system.pdb --table path.csv \
    --figure path.png
# between two latent points, in a straight line
polyvae path results z=0.3,-1.2 z=1,1 --kind straight -o line.pdb
""",
    "loop": r"""
# alanine dipeptide, which ships with polyvae
polyvae loop --rounds 3 -o loop
# a system of yours
polyvae loop --system system.xml --structure system.pdb --latent-dim 1 -o loop
""",
    "export": r"""
# for PLUMED, compared with the model on these frames
polyvae export results --format plumed --check run.xtc --top system.pdb -o latent.dat
# a Python file that needs NumPy alone
polyvae export results --format numpy -o latent.py
# for GROMACS with Colvars, where other atoms come first
polyvae export results --format colvars --serials 5,7,9-22 \
    --engine-units gromacs -o colvars
""",
    "report": r"""
# the page again, in place
polyvae report results --overwrite
# to another place
polyvae report results -o page.html
""",
    "film": r"""
# a run, as it was read
polyvae film results -o film.gif
# other frames, more pictures; MP4 needs ffmpeg
polyvae film results more.xtc --top system.pdb --frames 300 --fps 25 -o more.mp4
""",
    "inspect": r"""
# one trajectory
polyvae inspect run.xtc --top system.pdb
# several, for a program
polyvae inspect a.xtc b.xtc --top system.pdb --json
""",
    "demo": r"""
# a few minutes
polyvae demo -o demo
# shorter
polyvae demo --epochs 20 --starts 20 -o demo
""",
    "completion": r"""
# for this shell, until it ends
polyvae completion bash > polyvae.bash && source polyvae.bash
# for good
polyvae completion zsh > ~/.zfunc/_polyvae
polyvae completion fish > ~/.config/fish/completions/polyvae.fish
""",
}
"""Of each verb: lines that begin with # say what the command below them is for."""


def examples_of(verb: str) -> str:
    """The examples of a verb as the last lines of its help; nothing for a verb that has none."""
    lines = EXAMPLES.get(verb, "").strip().splitlines()
    return "\n".join(["examples:", *(f"  {line}" for line in lines)]) if lines else ""
