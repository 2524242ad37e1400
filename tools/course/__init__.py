"""The course: tasks and their holes, the starter, the judge and the grader. tests/course/README.md says what is made from what."""
