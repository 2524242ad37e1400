"""JUnit XML, as CI systems read it: a task is a test suite, a case a test case."""
import re
import xml.etree.ElementTree as xml

from course.asking import FAILED, PASSED
from course.report import explained

NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result):
    cases = [case for task in result["tasks"] for case in task["cases"]]
    root = xml.Element("testsuites", name=f"kvlab step {result['step']}", **counts(cases))
    for task in result["tasks"]:
        suite = xml.SubElement(root, "testsuite", name=f"{task['id']} {task['title']}", timestamp=result["time"]["graded"].rstrip("Z"),
                               **counts(task["cases"]))
        properties = xml.SubElement(suite, "properties")
        for name, value in (("score", task["score"]), ("points", task["points"]), ("seed", result["seed"]), ("tests", result["tests"]),
                            ("grader", result["grader"]), ("confined", result["confined"])):
            xml.SubElement(properties, "property", name=name, value=str(value))
        for case in task["cases"]:
            element = xml.SubElement(suite, "testcase", name=case["name"], classname=f"kvlab.step{result['step']:02}")
            if case["outcome"] == PASSED:
                continue
            # What went wrong with the answer is a failure; whatever kept it from being given is an error.
            kind = "failure" if case["outcome"] == FAILED else "error"
            said = explained(case, hidden=False)
            xml.SubElement(element, kind, type=case["outcome"], message=NO_XML.sub("?", said[0])).text = NO_XML.sub("?", "\n".join(said))
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"


def counts(cases):
    failures = sum(case["outcome"] == FAILED for case in cases)
    return {"tests": str(len(cases)), "failures": str(failures),
            "errors": str(sum(case["outcome"] != PASSED for case in cases) - failures), "skipped": "0"}
