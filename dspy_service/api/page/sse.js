/** Reads server-sent events from pieces of bytes, however they were cut. */

const LINE_END = /\r\n|\n|\r/;

/**
 * Yields `{id, event, data}` for each message that has data; `id` is the last one that was sent.
 *
 * A message that the stream breaks off is dropped, as the standard wants it.
 *
 * @param {AsyncIterable<Uint8Array>} pieces
 */
export async function* messages(pieces) {
  const decoder = new TextDecoder(); // keeps the first bytes of a character until its last ones come
  let text = "";
  let message = { id: "", event: "message", lines: [] };
  for await (const piece of pieces) {
    text += decoder.decode(piece, { stream: true });
    for (let end = LINE_END.exec(text); end !== null; end = LINE_END.exec(text)) {
      const isLast = end.index + end[0].length === text.length;
      if (end[0] === "\r" && isLast) break; // its line feed may come with the next piece
      const line = text.slice(0, end.index);
      text = text.slice(end.index + end[0].length);
      if (line !== "") {
        add(message, line);
        continue;
      }
      const { id, event, lines } = message;
      message = { id, event: "message", lines: [] };
      if (lines.length > 0) yield { id, event, data: lines.join("\n") };
    }
  }
}

function add(message, line) {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon); // empty in a comment
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (name === "data") message.lines.push(value);
  else if (name === "event") message.event = value;
  else if (name === "id" && !value.includes("\0")) message.id = value;
}
