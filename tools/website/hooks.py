"""What MkDocs asks while it makes the site."""
import json
import re
from pathlib import Path

# A part of the menu, with its title; the theme's own label of a part that has a page is only an icon.
NAVIGATION = re.compile(r'(<nav class="md-nav" data-md-level="[1-9]" )aria-labelledby="(\w+)"([^>]*>\s*)(<label class="md-nav__title"[^>]*>\s*)(.*?)</label>', re.S)

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
    return mended(output, page.url.count("/"))


def mended(html, depth):
    """The script with which pages from files can be searched is the site's own; and what the theme leaves without a name of its own gets one."""
    html = html.replace("https://unpkg.com/iframe-worker/shim", "../" * depth + "assets/worker.js")
    html = html.replace('data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"')
    html = html.replace('class="md-path" aria-label="Navigation"', 'class="md-path" aria-label="Path"')
    html = re.sub(r"<th(\b[^>]*)></th>", r"<td\1></td>", html)  # a corner of a table heads nothing
    return NAVIGATION.sub(lambda nav: f'{nav[1]}aria-label="{" ".join(re.sub(r"<[^>]+>", "", nav[5]).split())}"{nav[3]}{nav[4]}{nav[5]}</label>', html)
