// Loupe's widget. Put this where the widget belongs:
//
//   <script async src="https://loupe.example/embed.js"></script>
//   <mm-search data-q="Which flag is this?" data-image="scene.png"><a href="https://loupe.example/">Ask Loupe</a></mm-search>
//
// or give the script itself the data- attributes and leave the element out. Nothing but this file is loaded before a
// click; then the app runs in a sandboxed frame of Loupe's own origin.
//
//   data-q       words of the question, filled in but not asked
//   data-image   a picture that this page may read; it is handed to the frame, not fetched by the server
//   data-alt     what the picture shows
//   data-share   the id of a shared run to show
//   data-theme   light, dark or auto
//   data-height  least height in pixels
//
// The element fires `loupe-ready`, `loupe-answer` ({text}) and `loupe-error` ({code, message}).
(() => {
  "use strict";
  const script = document.currentScript;
  const origin = new URL(script.src).origin;
  const VERSION = 1;
  const MAX_HEIGHT = 10000;

  class Search extends HTMLElement {
    connectedCallback() {
      if (this.frame || this.button) return;
      this.style.display = "block";
      const words = this.dataset.label || (this.dataset.share ? "Show the answer" : "Ask about a picture");
      this.button = document.createElement("button");
      this.button.type = "button";
      this.button.textContent = words;
      this.button.addEventListener("click", () => this.open(), { once: true });
      // The link inside is for pages where this script does not run.
      this.replaceChildren(this.button);
    }

    disconnectedCallback() {
      removeEventListener("message", this.hear);
    }

    open() {
      const { q, share, theme, height } = this.dataset;
      const url = new URL("/embed", origin);
      url.searchParams.set("host", location.origin);
      for (const [name, value] of Object.entries({ q, share, theme })) if (value) url.searchParams.set(name, value);
      const frame = document.createElement("iframe");
      frame.title = "Loupe: ask about a picture";
      frame.sandbox = "allow-scripts allow-same-origin allow-forms allow-popups";
      frame.allow = "clipboard-write";
      frame.referrerPolicy = "strict-origin";
      frame.src = url.href;
      Object.assign(frame.style, { width: "100%", minWidth: "320px", border: "0", display: "block", colorScheme: "normal" });
      frame.style.height = `${Number(height) || 480}px`;
      this.frame = frame;
      this.hear = (event) => this.heard(event);
      addEventListener("message", this.hear);
      this.replaceChildren(frame);
    }

    heard(event) {
      if (event.origin !== origin || event.source !== this.frame.contentWindow) return;
      const message = event.data?.mm;
      if (message?.v !== VERSION) return;
      if (message.type === "ready") this.ready();
      if (message.type === "resize") this.resize(message.height);
      if (message.type === "answer") this.tell("answer", { text: String(message.text) });
      if (message.type === "error") this.tell("error", { code: String(message.code), message: String(message.message) });
    }

    async ready() {
      this.isReady = true;
      this.tell("ready", {});
      const { image, alt, share } = this.dataset;
      if (!image || share) return;
      try {
        const answer = await fetch(image);
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        this.say({ type: "image", image: await answer.blob(), alt: alt || "" });
      } catch (error) {
        this.tell("error", { code: "image_unreadable", message: `This page could not read ${image}: ${error.message}` });
      }
    }

    resize(height) {
      if (!(height > 0)) return;
      const least = Number(this.dataset.height) || 0;
      this.frame.style.height = `${Math.min(Math.max(Math.ceil(height), least), MAX_HEIGHT)}px`;
    }

    say(message) {
      this.frame.contentWindow.postMessage({ mm: { v: VERSION, ...message } }, origin);
    }

    tell(name, detail) {
      this.dispatchEvent(new CustomEvent(`loupe-${name}`, { detail, bubbles: true }));
    }

    static observedAttributes = ["data-theme"];

    attributeChangedCallback(_name, _old, theme) {
      if (this.isReady) this.say({ type: "theme", theme: theme || "auto" });
    }
  }

  if (!customElements.get("mm-search")) customElements.define("mm-search", Search);
  if (Object.keys(script.dataset).length > 0) {
    const element = document.createElement("mm-search");
    Object.assign(element.dataset, script.dataset);
    script.after(element);
  }
})();
