/** The chat page: conversations, messages, and the answer that is being written. */

import { apiKey, read } from "./api.js";
import { Run } from "./run.js";
import { MessageView } from "./view.js";

const part = (id) => document.getElementById(id);
const [program, key, list, state] = ["program", "key", "messages", "state"].map(part);
const [conversations, form, message] = ["conversations", "form", "message"].map(part);

let conversationId = null;
let running = null;

/** Show a conversation, and go on with the answer that is being written in it. */
async function open(id) {
  running?.leave();
  running = null;
  conversationId = id;
  list.replaceChildren();
  state.textContent = "";
  setBusy(false);
  if (id === null) return;
  const found = await read(`conversations/${encodeURIComponent(id)}`);
  if (conversationId !== id) return; // another one was opened meanwhile
  offer(found.program);
  program.value = found.program;
  for (const said of found.messages) {
    const view = new MessageView(list, said.role);
    if (said.status === "writing") void guarded(follow(new Run({ id: said.run_id }), view));
    else view.show(said);
  }
}

async function send() {
  const text = message.value.trim();
  if (text === "" || running !== null) return;
  message.value = "";
  new MessageView(list, "user").show({ text });
  const body = { message: text, on_disconnect: "continue" }; // a reload must not cost the answer
  if (conversationId !== null) body.conversation_id = conversationId;
  if (program.value !== "") body.program = program.value;
  await follow(new Run({ message: body }), new MessageView(list, "assistant"));
}

async function follow(run, view) {
  running = run;
  setBusy(true);
  view.isBusy = true;
  state.textContent = "Waiting for the answer …";
  try {
    for await (const event of run.events(() => tell(run, "The connection was lost. Trying again …"))) {
      if (running !== run) return;
      if (event.type === "start") enter(event.conversation_id);
      view.apply(event);
      tell(run, event.type === "status" ? event.message : "Writing …");
    }
  } catch (error) {
    view.complain(error.message);
  } finally {
    view.isBusy = false;
    if (running === run) {
      running = null;
      state.textContent = "";
      setBusy(false);
    }
  }
  await listConversations();
}

function tell(run, sentence) {
  if (running === run && state.textContent !== sentence) state.textContent = sentence;
}

function setBusy(isBusy) {
  part("send").disabled = isBusy;
  part("stop").hidden = !isBusy;
}

/** Keep the conversation in the address, where a reload finds it. */
function enter(id) {
  if (id === null || id === conversationId) return;
  conversationId = id;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
}

async function listConversations() {
  const found = await read("conversations?limit=50");
  conversations.replaceChildren(
    ...found.data.map((each) => {
      const link = document.createElement("a");
      link.href = `#${encodeURIComponent(each.conversation_id)}`;
      link.textContent = each.title ?? each.conversation_id;
      if (each.conversation_id === conversationId) link.setAttribute("aria-current", "page");
      const item = document.createElement("li");
      item.append(link);
      return item;
    }),
  );
}

async function listPrograms() {
  const found = await read("programs?limit=100");
  const chosen = program.value;
  program.replaceChildren(program.options[0]);
  for (const each of found.data) offer(each.name);
  if (chosen !== "") offer(chosen);
  program.value = chosen;
}

function offer(name) {
  if (![...program.options].some((option) => option.value === name)) program.add(new Option(name, name));
}

async function start() {
  await guarded(Promise.all([listPrograms(), listConversations()]));
  await guarded(open(decodeURIComponent(location.hash.slice(1)) || null));
}

async function guarded(work) {
  try {
    await work;
  } catch (error) {
    state.textContent = error.message;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void guarded(send());
});
message.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
part("stop").addEventListener("click", () => void guarded(running?.stop()));
part("new").addEventListener("click", () => {
  history.pushState(null, "", location.pathname);
  void guarded(open(null).then(listConversations));
  message.focus();
});
window.addEventListener("hashchange", () => void start());
key.addEventListener("change", () => {
  apiKey.set(key.value.trim());
  void start();
});

key.value = apiKey.get();
void start();
