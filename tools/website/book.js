// What scrolls sideways, code and tables, can be reached with the Tab key and scrolled with the arrows.
"use strict";
(() => {
  const look = () => {
    for (const box of document.querySelectorAll(".md-typeset pre code, .md-typeset__scrollwrap")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", () => {
    new ResizeObserver(look).observe(document.querySelector("main"));
    for (const buttons of document.querySelectorAll(".md-code__nav")) buttons.setAttribute("role", "none");  // a button for copying is no landmark
  });
})();
