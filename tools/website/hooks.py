"""What MkDocs asks while it makes the site."""
import json
import re
from pathlib import Path


def on_nav(nav, config, files):
    """'Next' at the end of a chapter leads to the next chapter, not to its pages for the curious; those have neighbours in their folder alone."""
    order = json.loads(Path(config["config_file_path"]).with_name("order.json").read_text(encoding="utf-8"))["next"]
    by_place = {page.file.src_uri: page for page in nav.pages}
    line = [by_place[place] for place in order if place in by_place]
    for page in nav.pages:
        if page not in line:
            page.previous_page = page.previous_page if page.previous_page and page.previous_page.parent is page.parent else None
            page.next_page = page.next_page if page.next_page and page.next_page.parent is page.parent else None
    for at, page in enumerate(line):
        page.previous_page = line[at - 1] if at else None
        page.next_page = line[at + 1] if at + 1 < len(line) else None
    return nav


def on_post_page(output, page, config):
    return without_requests(output, page.url.count("/"))


def on_post_template(output_content, template_name, config):
    return without_requests(output_content, 0) if template_name == "404.html" else output_content


def without_requests(html, depth):
    """The script with which pages from files can be searched is the site's own."""
    return re.sub(r"https://unpkg\.com/iframe-worker/shim", "../" * depth + "assets/worker.js", html)
