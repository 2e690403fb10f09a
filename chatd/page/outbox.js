// What was written here and is not yet known to be said: sent one by one, in order, again after every cut, and said once.
//
// An item is {msg_id, type: "send" | "relate", room, fields, time, problem?: text, seq?: once it is said}.

import { tab } from "./kept.js";
import { Cut, Refused } from "./wire.js";

// After these the same request may go well a little later.
const LATER = new Set(["RATE_LIMITED", "STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "SHUTTING_DOWN"]);

export class Outbox {
  #ask;
  #find;
  #changed;
  #isRunning = false;
  #timer = 0;

  /** `ask(type, fields)` sends a request, `find(name)` finds a room, `changed(item)` is told what became of an item. */
  constructor(ask, find, changed) {
    this.#ask = ask;
    this.#find = find;
    this.#changed = changed;
    this.items = tab.read("outbox", []);
  }

  /** What of a room is still to be shown as on its way. */
  of(room) {
    return this.items.filter((item) => item.type === "send" && item.room === room);
  }

  get isEmpty() {
    return this.items.length === 0;
  }

  add(type, room, fields) {
    const item = { msg_id: unique(), type, room, fields, time: new Date().toISOString() };
    this.items.push(item);
    this.#tell(item);
    this.run();
  }

  /** Try what failed once more, as something new. */
  again(item) {
    this.drop(item);
    this.add(item.type, item.room, item.fields);
  }

  drop(item) {
    this.items = this.items.filter((one) => one !== item);
    this.#tell(item);
  }

  /** Nothing of this goes out by itself any more: it would be somebody else who says it. */
  fail(problem) {
    for (const item of this.items) if (item.seq === undefined) Object.assign(item, { problem });
    this.#tell(null);
  }

  /** More of a room was heard: what was said so far, or just now with this id, is on its way no longer. */
  heard({ name, last }, id = null) {
    for (const item of this.of(name)) if (item.msg_id === id || item.seq <= last) this.drop(item);
  }

  renamed(from, to) {
    for (const item of this.items) if (item.room === from) item.room = to;
  }

  /** Send what waits, as far as it goes. */
  async run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    clearTimeout(this.#timer);
    try {
      let item;
      while ((item = this.items.find((one) => one.seq === undefined && !one.problem))) await this.#say(item);
    } catch (error) {
      if (error instanceof Refused) this.#timer = setTimeout(() => this.run(), (error.seconds ?? 1) * 1000 + 50);
      else if (!(error instanceof Cut)) throw error;
    } finally {
      this.#isRunning = false;
    }
  }

  async #say(item) {
    try {
      const reply = await this.#ask(item.type, { room: item.room, msg_id: item.msg_id, ...item.fields });
      item.seq = reply.seq;
      // Its event shows it, in its place; unless it was shown before the cut after which it was said again.
      if (item.type === "relate" || this.#find(reply.room)?.last >= reply.seq) this.drop(item);
      else this.#keep();
    } catch (error) {
      const isOnTheWayIn = error.code === "NOT_IN_ROOM" && this.#find(item.room)?.problem === null;
      if (!(error instanceof Refused) || LATER.has(error.code) || isOnTheWayIn) throw error;
      item.problem = error.message;
      this.#tell(item);
    }
  }

  #keep() {
    tab.write("outbox", this.items.length ? this.items : null);
  }

  #tell(item) {
    this.#keep();
    this.#changed(item);
  }
}

/** An id that nobody else has. `crypto.randomUUID` is not there in pages without TLS. */
const unique = () => [...crypto.getRandomValues(new Uint8Array(15))].map((byte) => byte.toString(36).padStart(2, "0")).join("");
