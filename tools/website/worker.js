// The search of the site runs in a worker. A page that was opened from a file may not start one: a hidden frame does its work.
"use strict";
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "search";
      this.frame.answer = data => this.dispatchEvent(new MessageEvent("message", { data }));
      this.frame.srcdoc = `<script>const here = frameElement; self.postMessage = data => here.answer(data);</script><script src="${new URL(address, location)}"></script>`;
      this.ready = new Promise(resolve => this.frame.addEventListener("load", resolve, { once: true }));
      document.body.append(this.frame);
    }

    async postMessage(data) {
      await this.ready;
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
