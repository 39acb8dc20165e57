/** The texts of a run's fields, as its events so far spell them. */

const REASONING = new Set(["reasoning", "next_thought"]);

export class Texts {
  #fields = new Map();
  #final = null;

  /** Apply an event. A token that was applied before changes nothing: `offset` says how much stands before it. */
  apply(event) {
    if (event.type === "token" || event.type === "reasoning") {
      const found = this.#field(event);
      const missing = [...event.text].slice(Math.max(0, found.length - event.offset)); // code points
      found.text += missing.join("");
      found.length += missing.length;
      found.isReasoning ||= event.type === "reasoning";
    } else if (event.type === "replace") {
      this.#replace(event);
    } else if (event.type === "snapshot") {
      this.#fields.clear();
      event.fields.forEach((field) => this.#replace(field));
    } else if (event.type === "final") {
      this.#final = event.answer ?? JSON.stringify(event.prediction, null, 2);
    }
  }

  /** What is to be read: the final answer once there is one; several fields stand under their names. */
  get answer() {
    if (this.#final !== null) return this.#final;
    return spelled([...this.#fields.values()].filter((field) => !field.isReasoning));
  }

  get reasoning() {
    return spelled([...this.#fields.values()].filter((field) => field.isReasoning));
  }

  #field({ predictor, field, turn }) {
    const key = JSON.stringify([predictor, field, turn]);
    if (!this.#fields.has(key)) {
      this.#fields.set(key, { name: field, text: "", length: 0, isReasoning: REASONING.has(field) });
    }
    return this.#fields.get(key);
  }

  #replace(event) {
    const found = this.#field(event);
    found.text = event.text;
    found.length = [...event.text].length;
  }
}

function spelled(fields) {
  const written = fields.filter((field) => field.text !== "");
  if (written.length === 1) return written[0].text;
  return written.map((field) => `${field.name}: ${field.text}`).join("\n\n");
}
