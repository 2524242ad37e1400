"""The pictures of tools/plot.py: a file each, with

NEEDS    the experiments whose reports it draws, as their "experiment" names them; one of each at least
DEFAULT  where the report is when none is named (optional)
SHOWS    what a reader must find written in it, when it is drawn from the made-up reports of tests/tools/plot_reports.py
SAME_EVERYWHERE    True for one by formula or from exact counts, which names no machine (optional)
draw(reports, figure)    reports: {experiment: [report, ...]}; figure: an empty one, 800 pixels wide

tools/experiments.toml says which experiments' reports a picture is drawn from when they are run. A scheme has no data: its NEEDS is empty,
SHOWS are whole lines, and in place of draw() it has

draw_page()    -> scheme.Scheme, an SVG that is written without matplotlib; always the same

What every picture shares is in style.py, what the schemes share in scheme.py, and what becomes of colours on a dark page in dark.py. They import matplotlib inside of functions only, so that wrong
usage is found without it.
"""
