/** Follows one run to its end, over as many connections as it takes. */

import { ConnectionLostError, RefusedError, request } from "./api.js";
import { messages } from "./sse.js";

const QUIET_MS = 30_000; // the server says something every 10 s
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
const PASSING = new Set([429, 502, 503, 504]);

export class Run {
  #message;
  #key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  #lastSeq = 0;
  #hasEnded = false;
  #isStopped = false;
  #connection = new AbortController();
  #isLeft = false;

  /**
   * @param {{id?: string, message?: object}} begin A run that exists, or the message that starts one.
   */
  constructor({ id = null, message = null }) {
    this.id = id;
    this.conversationId = null;
    this.#message = message;
  }

  /**
   * Yields every event once and in order, until the end or until `leave`.
   *
   * Throws RefusedError when going on makes no sense.
   *
   * @param {(error: Error) => void} onPause Told why, before each pause.
   */
  async *events(onPause) {
    let failures = 0;
    while (!this.#hasEnded && !this.#isLeft) {
      let lost = new ConnectionLostError("The connection ended.");
      this.#connection = new AbortController();
      try {
        for await (const event of this.#read()) {
          failures = 0;
          yield event;
        }
      } catch (error) {
        if (!this.#isPassing(error)) throw error;
        lost = error;
      } finally {
        this.#connection.abort();
      }
      if (this.#hasEnded || this.#isLeft) return;
      onPause(lost);
      await pause(failures, lost);
      failures += 1;
    }
  }

  /** Ask the service to end the run; while it is not reached, the next connection asks. */
  async stop() {
    this.#isStopped = true;
    if (this.id === null || this.#hasEnded) return;
    try {
      await request(`runs/${encodeURIComponent(this.id)}/cancel`, { method: "POST" });
    } catch (error) {
      if (!this.#isPassing(error)) throw error;
    }
  }

  /** Read no further; the run goes on. */
  leave() {
    this.#isLeft = true;
    this.#connection.abort();
  }

  async *#read() {
    const response = await this.#withinTime(this.#open());
    if (response.status === 204) {
      this.#hasEnded = true;
      return;
    }
    this.id ??= response.headers.get("x-run-id");
    this.conversationId ??= response.headers.get("x-conversation-id");
    if (this.#isStopped) await this.stop();
    for await (const { data } of messages(this.#pieces(response.body))) {
      const event = JSON.parse(data);
      if (event.type === "ping") continue;
      if (event.seq === undefined) throw troubleOf(event);
      if (event.seq <= this.#lastSeq) continue;
      this.#lastSeq = event.seq;
      this.#hasEnded = event.type === "end";
      yield event;
    }
  }

  #open() {
    const signal = this.#connection.signal;
    if (this.id === null) {
      const headers = { accept: "text/event-stream", "idempotency-key": this.#key };
      return request("chat/stream?format=v1", { method: "POST", body: this.#message, headers, signal });
    }
    const headers = { accept: "text/event-stream", "last-event-id": String(this.#lastSeq) };
    return request(`runs/${encodeURIComponent(this.id)}/events`, { headers, signal });
  }

  async *#pieces(body) {
    const reader = body.getReader();
    for (;;) {
      let piece;
      try {
        piece = await this.#withinTime(reader.read());
      } catch (error) {
        throw new ConnectionLostError("The connection broke.", { cause: error });
      }
      if (piece.done) return;
      yield piece.value;
    }
  }

  async #withinTime(promise) {
    const timer = setTimeout(() => this.#connection.abort(), QUIET_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #isPassing(error) {
    if (error instanceof ConnectionLostError) return true;
    return this.id !== null && error instanceof RefusedError && PASSING.has(error.status);
  }
}

/** A message without a number is about this reader, and not about the run. */
function troubleOf({ error }) {
  return error.retryable ? new ConnectionLostError(error.message) : new RefusedError(error.message, 0);
}

/** Wait longer after each failure, and never all readers at the same moment. */
function pause(failures, { retryAfterSeconds = 0 }) {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
  const milliseconds = retryAfterSeconds * 1000 + longest * (0.5 + Math.random() / 2);
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
