// The windows within the page: finding rooms, searching, reacting, people, oneself, help. Each is a `<dialog>`.

import { COMMANDS } from "./commands.js";
import { kept } from "./kept.js";
import * as notices from "./notices.js";
import { clean, dateAndTime, fold, isSame, make, many } from "./text.js";
import { Cut, Refused } from "./wire.js";

const QUICK = ["👍", "❤️", "😂", "🎉", "😮", "😢", "👀", "✅"];
const $ = (id) => document.getElementById(id);
const field = (dialog, name) => dialog.querySelector(`[name=${name}]`);

/** Do it; what the server says against it stands in the dialog. Says whether it was done. */
async function attempt(dialog, act) {
  const problem = dialog.querySelector(".problem");
  problem.textContent = "";
  try {
    await act();
    return true;
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Cut || error instanceof SyntaxError)) throw error;
    problem.textContent = error instanceof Cut ? "There is no connection just now." : error.message;
    dialog.querySelector("[name=key]")?.closest("label").toggleAttribute("hidden", error.code !== "BAD_KEY");
    return false;
  }
}

function ready(dialog, submit) {
  dialog.querySelector("[value=cancel]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close()); // beside it
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit?.();
  });
}

function open(dialog) {
  const problem = dialog.querySelector(".problem");
  if (problem) problem.textContent = "";
  if (!dialog.open) dialog.showModal();
}

export class Dialogs {
  #chat;
  #act;
  #message = null;
  #sure = () => {};

  /** `act` has what they lead to: `jump(seq)`, `toggle(message, key, isMine)`, `notify()`. */
  constructor(chat, act) {
    this.#chat = chat;
    this.#act = act;
    ready($("browse-dialog"), () => this.#join());
    ready($("search-dialog"), () => this.#search());
    ready($("react-dialog"), () => this.#react(field($("react-dialog"), "key").value.trim()));
    ready($("person-dialog"));
    ready($("me-dialog"), () => this.#saveMe());
    ready($("sure-dialog"), () => {
      $("sure-dialog").close();
      this.#sure();
    });
    ready($("help-dialog"));
    field($("browse-dialog"), "room").addEventListener("input", () => this.#find());
    $("log-out").addEventListener("click", async () => {
      $("me-dialog").close();
      await this.#chat.logOut();
    });
    $("react-dialog").querySelector(".quick").append(...QUICK.map((key) => {
      return make("button", { type: "button", textContent: key, onclick: () => this.#react(key) });
    }));
    field($("me-dialog"), "theme").addEventListener("change", ({ target }) => setTheme(target.value));
  }

  // -- rooms -------------------------------------------------------------------------------------------------

  browse(name = "") {
    const dialog = $("browse-dialog");
    open(dialog);
    field(dialog, "room").value = name;
    field(dialog, "key").value = "";
    field(dialog, "key").closest("label").hidden = true;
    this.#find();
  }

  async #find() {
    const dialog = $("browse-dialog");
    const typed = field(dialog, "room").value.trim();
    const prefix = typed && !/^[#@]/.test(typed) ? `#${typed}` : typed;
    if (prefix.startsWith("@")) return dialog.querySelector(".choices").replaceChildren();
    await attempt(dialog, async () => {
      const page = await this.#chat.wire.ask("list", { what: "rooms", limit: 50, ...(prefix ? { prefix } : {}) });
      if (field(dialog, "room").value.trim() !== typed) return; // something else was typed meanwhile
      dialog.querySelector(".choices").replaceChildren(...page.items.map((found) => this.#choice(found)));
    });
  }

  #choice({ room, topic, members_count: count }) {
    const button = make("button", { type: "button", className: "choice" }, make("b", { textContent: room }));
    button.append(make("span", { className: "quiet", textContent: ` ${many(count, "person").replace("persons", "people")}` }));
    if (topic) button.append(make("span", { className: "quiet topic", textContent: clean(topic) }));
    button.addEventListener("click", () => {
      field($("browse-dialog"), "room").value = room;
      this.#join();
    });
    return make("li", {}, button);
  }

  async #join() {
    const dialog = $("browse-dialog");
    const typed = field(dialog, "room").value.trim();
    if (!typed) return;
    const name = /^[#@]/.test(typed) ? typed : `#${typed}`;
    if (await attempt(dialog, () => this.#chat.open(name, field(dialog, "key").value || null))) dialog.close();
  }

  // -- searching ---------------------------------------------------------------------------------------------

  search(query = "") {
    const dialog = $("search-dialog");
    open(dialog);
    dialog.querySelector("h2").textContent = `Search in ${this.#chat.current.name}`;
    dialog.querySelector(".choices").replaceChildren();
    field(dialog, "query").value = query;
    if (query) this.#search();
  }

  async #search(before = null) {
    const [dialog, room] = [$("search-dialog"), this.#chat.current];
    const query = field(dialog, "query").value.trim();
    if (!query) return;
    await attempt(dialog, async () => {
      const page = await this.#chat.search(room, query, before);
      const list = dialog.querySelector(".choices");
      const found = page.events.filter(({ type }) => type === "message").reverse();
      const items = found.map((event) => this.#hit(event));
      if (page.prev !== null) items.push(this.#more(page.prev));
      if (!items.length && before === null) items.push(make("li", { className: "quiet", textContent: "Nothing was found." }));
      if (before === null) list.replaceChildren();
      list.append(...items);
    });
  }

  #more(before) {
    const item = make("li", {}, make("button", { type: "button", className: "plain", textContent: "Find earlier ones" }));
    item.firstChild.addEventListener("click", () => {
      item.remove();
      this.#search(before);
    });
    return item;
  }

  #hit({ seq, from, body, time }) {
    const button = make("button", { type: "button", className: "choice" }, make("b", { textContent: from.nick }));
    button.append(make("span", { className: "quiet", textContent: ` ${dateAndTime(time)}` }));
    button.append(make("span", { className: "found-text", textContent: clean(body).slice(0, 300) }));
    button.addEventListener("click", () => {
      $("search-dialog").close();
      this.#act.jump(seq);
    });
    return make("li", {}, button);
  }

  // -- messages ----------------------------------------------------------------------------------------------

  react(message) {
    this.#message = message;
    open($("react-dialog"));
    field($("react-dialog"), "key").value = "";
  }

  #react(key) {
    if (!key) return;
    $("react-dialog").close();
    this.#act.toggle(this.#message, key, false);
  }

  /** Ask before something that cannot be undone. */
  sure(title, text, word, act) {
    this.#sure = act;
    $("sure-title").textContent = title;
    $("sure-dialog").querySelector(".quote").textContent = text;
    $("sure-dialog").querySelector(".danger").textContent = word;
    open($("sure-dialog"));
  }

  // -- people ------------------------------------------------------------------------------------------------

  person({ nick, account, away, message, bot, role }) {
    const [dialog, chat, room] = [$("person-dialog"), this.#chat, this.#chat.current];
    const isMe = isSame(nick, chat.me.nick);
    const isIgnored = chat.ignored.has(fold(nick));
    dialog.querySelector("h2").textContent = nick;
    const words = [account ? `account ${account}` : "guest", bot && "bot", role && role !== "member" && role, away && `away${message ? `: ${clean(message)}` : ""}`];
    dialog.querySelector("p").textContent = words.filter(Boolean).join(" · ");
    const deed = (name, act) => {
      const button = make("button", { type: "button", className: "plain", textContent: name });
      button.addEventListener("click", async () => (await attempt(dialog, act)) && dialog.close());
      return button;
    };
    const order = (action) => () => chat.wire.ask("moderate", { room: room.name, action, target: nick });
    const deeds = [];
    if (!isMe) deeds.push(deed("Write to this person alone", () => chat.open(`@${nick}`)));
    if (!isMe) deeds.push(deed(isIgnored ? "Hear this person again" : "Hear this person no more", () => chat.ignore(nick, !isIgnored)));
    if (!isMe && room.mayKeepOrder) deeds.push(deed("Mute", order("mute")), deed("Put out", order("kick")), deed("Ban", order("ban")));
    dialog.querySelector(".actions").replaceChildren(...deeds);
    open(dialog);
  }

  // -- oneself -----------------------------------------------------------------------------------------------

  /** One's own; with an invite, to make an account of the guest that one is. */
  me(invite = "") {
    const [dialog, chat] = [$("me-dialog"), this.#chat];
    const { registration } = chat.server ?? {};
    dialog.querySelector("h2").textContent = chat.me.nick;
    dialog.querySelector("p").textContent = chat.me.account
      ? `This is your account ${chat.me.account}.`
      : "You are a guest. This browser knows you; no other does.";
    field(dialog, "nick").value = chat.me.nick;
    field(dialog, "password").value = "";
    field(dialog, "invite").value = invite;
    $("account-rows").hidden = chat.me.account !== null || registration === "closed";
    $("invite-row").hidden = registration !== "invite" && !invite;
    field(dialog, "theme").value = kept.read("theme", "");
    $("notify-row").hidden = !notices.canNotify;
    field(dialog, "notify").checked = notices.isOn();
    open(dialog);
  }

  async #saveMe() {
    const [dialog, chat] = [$("me-dialog"), this.#chat];
    const [nick, password, invite] = ["nick", "password", "invite"].map((name) => field(dialog, name).value.trim());
    const isDone = await attempt(dialog, async () => {
      if (nick && nick !== chat.me.nick) await chat.rename(nick);
      if (password && !chat.me.account) {
        const mechanism = invite ? "invite" : "register";
        const secret = field(dialog, "password").value;
        await chat.become({ mechanism, account: chat.me.nick, password: secret, ...(invite ? { token: invite } : {}) });
      }
    });
    if (field(dialog, "notify").checked !== notices.isOn()) await notices.switchTo(field(dialog, "notify").checked);
    if (isDone) dialog.close();
  }

  // -- help --------------------------------------------------------------------------------------------------

  help() {
    const keys = [
      ["Enter, Shift+Enter", "send; begin another line"],
      ["↑ in an empty field", "change your last message"],
      ["Tab", "finish a name"],
      ["Ctrl+K", "find or make a room"],
      ["Ctrl+F, twice for the browser's own", "search in this room"],
      ["Alt+↑, Alt+↓", "the room before, the room after"],
      ["↑, ↓ in the messages", "go from message to message; then r replies, + reacts, e edits, Delete deletes"],
      ["Escape", "stop answering or changing; go to the newest"],
    ];
    const commands = Object.values(COMMANDS).map(([usage, words]) => [usage, words]);
    const rows = [...keys, ...commands].flatMap(([term, words]) => [make("dt", { textContent: term }), make("dd", { textContent: words })]);
    $("help-dialog").querySelector("dl").replaceChildren(...rows);
    open($("help-dialog"));
  }
}

/** Light, dark, or as the system has it. */
export function setTheme(theme) {
  kept.write("theme", theme || null);
  document.documentElement.dataset.theme = theme;
}
