/** Shows one message. All text of others is set as text, never as HTML. */

import { Texts } from "./texts.js";

export class MessageView {
  #list;
  #texts = new Texts();
  #isDrawn = true;

  /**
   * @param {HTMLElement} list Where it is added.
   * @param {"user" | "assistant"} role
   */
  constructor(list, role) {
    this.#list = list;
    const template = document.getElementById("message-template");
    this.element = template.content.cloneNode(true).firstElementChild;
    this.element.classList.add(role);
    this.#part("h2").textContent = role === "user" ? "You" : "Program";
    list.append(this.element);
    list.scrollTop = list.scrollHeight;
  }

  /** Show a message that is complete. */
  show({ text, fields, sources, status }) {
    this.#part(".answer").textContent = text;
    this.#reason(typeof fields?.reasoning === "string" ? fields.reasoning : "");
    this.#cite(sources ?? []);
    if (status === "cancelled") this.complain("The answer was stopped.");
    if (status === "failed" || status === "partial") this.complain("The answer failed before its end.");
  }

  /** Apply an event of the run that writes this message; it is drawn with the browser's next frame. */
  apply(event) {
    this.#texts.apply(event);
    if (event.type === "sources") this.#cite(event.sources);
    if (event.type === "error") this.complain(event.error.message);
    if (event.type === "cancelled") this.complain("The answer was stopped.");
    if (event.type === "end") this.#draw();
    else if (this.#isDrawn) {
      this.#isDrawn = false;
      requestAnimationFrame(() => this.#draw());
    }
  }

  complain(sentence) {
    const place = this.#part(".problem");
    place.textContent = sentence;
    place.hidden = false;
  }

  set isBusy(isBusy) {
    this.element.setAttribute("aria-busy", String(isBusy));
  }

  #draw() {
    const list = this.#list;
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40; // px: the reader follows along
    this.#isDrawn = true;
    this.#part(".answer").textContent = this.#texts.answer;
    this.#reason(this.#texts.reasoning);
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  #reason(text) {
    this.#part(".reasoning").textContent = text;
    this.#part("details").hidden = text === "";
  }

  #cite(sources) {
    const place = this.#part(".sources");
    place.hidden = sources.length === 0;
    place.replaceChildren(
      ...sources.map(({ id, title, authors, year }) => {
        const item = document.createElement("li");
        item.textContent = [`[${id}]`, title, (authors ?? []).join(", "), year].filter(Boolean).join(" ");
        return item;
      }),
    );
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }
}
