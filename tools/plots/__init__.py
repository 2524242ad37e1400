"""The pictures of tools/plot.py: a file each, with

NEEDS    the experiments whose reports it draws, as their "experiment" names them; one of each at least
DEFAULT  where the report is when none is named (optional)
draw(reports, figure)    reports: {experiment: [report, ...]}; figure: an empty one, 800 pixels wide

What every picture shares is in style.py. They import matplotlib inside of functions only, so that wrong
usage is found without it.
"""
