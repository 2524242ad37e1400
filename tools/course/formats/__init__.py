"""A result in the formats that other programs read. Each is one function from a result (report.py) to a text."""
from course.formats.classroom50 import classroom50
from course.formats.gradescope import gradescope
from course.formats.junit import junit

FORMATS = {"junit": junit, "gradescope": gradescope, "classroom50": classroom50}
