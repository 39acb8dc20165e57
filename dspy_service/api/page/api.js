/** Calls the service that this page came from. */

const BASE = new URL("v1/", document.baseURI);
const KEY = "dspy-service-key";

/** The network or the server went away; the same request may succeed later. */
export class ConnectionLostError extends Error {}

/** The service refused; its sentence says why. */
export class RefusedError extends Error {
  constructor(message, status, retryAfterSeconds = 0) {
    super(message);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (key) => sessionStorage.setItem(KEY, key),
};

/**
 * Returns the response to a request that was not refused.
 *
 * Throws ConnectionLostError or RefusedError.
 */
export async function request(path, { body, headers = {}, ...options } = {}) {
  const sent = new Headers(headers);
  if (apiKey.get() !== "") sent.set("authorization", `Bearer ${apiKey.get()}`);
  if (body !== undefined) sent.set("content-type", "application/json");
  const text = body === undefined ? undefined : JSON.stringify(body);
  let response;
  try {
    response = await fetch(new URL(path, BASE), { ...options, headers: sent, body: text });
  } catch (error) {
    throw new ConnectionLostError("The service does not answer.", { cause: error });
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** Returns the JSON that a path answers with. */
export async function read(path) {
  const response = await request(path);
  return response.json();
}

async function refusal(response) {
  const problem = await response.json().catch(() => ({})); // a proxy's page is no JSON
  const detail = problem.detail ?? `The service answered ${response.status}.`;
  const sentence = Array.isArray(detail) ? detail.map(sentenceOf).join(" ") : String(detail);
  return new RefusedError(sentence, response.status, Number(response.headers.get("retry-after")) || 0);
}

function sentenceOf(entry) {
  return Object.values(entry).join(": ");
}
