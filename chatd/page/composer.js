// Where one writes: drafts, answers, corrections, commands, and telling others that one is typing.

import { kept } from "./kept.js";
import { clean, fold } from "./text.js";
import { Cut, Refused } from "./wire.js";

const TYPING = 4_000; // it is told again after so long

export class Composer {
  #chat;
  #run;
  #room = null;
  #about = null; // {what: "reply" | "edit", message}
  #told = 0;
  #drafts = kept.read("drafts", {});
  #form = document.getElementById("composer");
  #words = document.getElementById("words");
  #bar = document.getElementById("about");
  #problem = document.getElementById("composer-problem");

  /** `run(name, rest, room)` carries out a command; `leave()` takes the focus elsewhere. */
  constructor(chat, run) {
    this.#chat = chat;
    this.#run = run;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#words.addEventListener("input", () => this.#typed());
    this.#words.addEventListener("keydown", (event) => this.#pressed(event));
    this.#bar.querySelector("button").addEventListener("click", () => this.cancel());
  }

  focus() {
    this.#words.focus();
  }

  /** Another room: its own draft. */
  show(room) {
    if (this.#room === room) return;
    this.#room = room;
    this.#about = null;
    this.#write(this.#drafts[room?.name] ?? "");
    this.#words.placeholder = room ? `Message ${room.name}` : "";
    this.#words.ariaLabel = room ? `Message to ${room.name}` : "Message";
    this.#form.hidden = !room;
    this.#tell();
  }

  reply(message) {
    this.#about = { what: "reply", message };
    this.#tell();
    this.focus();
  }

  edit(message) {
    this.#about = { what: "edit", message };
    this.#write(this.#room.look(message).body);
    this.#tell();
    this.focus();
  }

  /** Neither answer nor correct. Says whether there was something to stop. */
  cancel() {
    if (!this.#about) return false;
    if (this.#about.what === "edit") this.#write(this.#drafts[this.#room.name] ?? "");
    this.#about = null;
    this.#tell();
    this.focus();
    return true;
  }

  #tell(problem = "") {
    const { what, message } = this.#about ?? {};
    this.#problem.textContent = problem;
    this.#bar.hidden = !what;
    const text = message ? clean(message.body).replace(/\s+/g, " ").slice(0, 140) : "";
    this.#bar.querySelector("span").textContent = what === "reply" ? `In answer to ${message.from.nick}: ${text}` : "Changing your message";
    this.#form.querySelector("[type=submit]").textContent = what === "edit" ? "Save" : "Send";
  }

  #write(text) {
    this.#words.value = text;
    this.#fit();
  }

  /** As high as the text, for browsers that do not do it themselves. */
  #fit() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#words.rows = Math.min(8, this.#words.value.split("\n").length);
  }

  #typed() {
    this.#fit();
    this.#tell();
    if (this.#about?.what !== "edit") this.#keep();
    const isTalk = this.#words.value.trim() !== "" && !this.#words.value.startsWith("/");
    if (isTalk && Date.now() - this.#told > TYPING) {
      this.#told = Date.now();
      this.#chat.typing(this.#room, "active");
    } else if (!isTalk && this.#told) this.#stopped();
  }

  #stopped() {
    if (this.#told) this.#chat.typing(this.#room, "done");
    this.#told = 0;
  }

  #keep() {
    const text = this.#words.value;
    if (text) this.#drafts[this.#room.name] = text;
    else delete this.#drafts[this.#room.name];
    kept.write("drafts", this.#drafts);
  }

  #pressed(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "ArrowUp" && !this.#words.value && this.#room) {
      const message = this.#room.lastOf(this.#chat.me.nick);
      if (message) event.preventDefault();
      if (message) this.edit(message);
    } else if (event.key === "Tab" && !event.shiftKey && this.#complete()) event.preventDefault();
  }

  /** Finish the name that is being written. Says whether there is one. */
  #complete() {
    const { value, selectionStart: end } = this.#words;
    const start = value.slice(0, end).search(/@?[\p{L}\p{N}_.-]+$/u);
    if (start < 0) return false;
    const begun = fold(value.slice(start, end).replace(/^@/, ""));
    const found = [...this.#room.members.values()].filter(({ nick }) => fold(nick).startsWith(begun));
    if (found.length !== 1 || fold(found[0].nick) === begun) return false;
    this.#words.setRangeText(found[0].nick + (start ? " " : ": "), start, end, "end");
    this.#typed();
    return true;
  }

  async #submit() {
    const [text, room] = [this.#words.value.replace(/\s+$/, ""), this.#room];
    if (!text.trim() || !room) return;
    const problem = this.#tooLong(text);
    if (problem) return this.#tell(problem);
    try {
      if (this.#about?.what === "edit") this.#correct(text);
      else if (/^\/(?!\/)/.test(text)) await this.#command(text, room);
      else this.#say(text.replace(/^\/\//, "/"));
    } catch (error) {
      if (error instanceof Cut) return this.#tell("There is no connection just now. Try again when it is back.");
      if (!(error instanceof Refused || error instanceof SyntaxError)) throw error;
      return this.#tell(error.message);
    }
    if (this.#room !== room) return;
    this.#about = null;
    this.#write("");
    this.#keep();
    this.#tell();
    this.#stopped();
  }

  #say(text) {
    const replyTo = this.#about?.message.seq ?? null;
    this.#chat.send(this.#room, text, { replyTo });
  }

  #correct(text) {
    const { message } = this.#about;
    if (text !== this.#room.look(message).body) this.#chat.relate(this.#room, message.seq, "edit", { body: text });
  }

  async #command(text, room) {
    const [, name, rest] = text.match(/^\/(\S*)\s*([^]*)$/);
    delete this.#drafts[room.name];
    kept.write("drafts", this.#drafts);
    await this.#run(name.toLowerCase(), rest, room);
  }

  #tooLong(text) {
    const { body_bytes: bytes = 8192, body_lines: lines = 200 } = this.#chat.server?.limits ?? {};
    const size = new TextEncoder().encode(text).length;
    if (size > bytes) return `This is ${size - bytes} bytes too long. Send it in parts.`;
    const count = text.split("\n").length;
    return count > lines ? `These are ${count} lines; ${lines} are the most. Send them in parts.` : "";
  }
}
