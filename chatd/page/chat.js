// The chat as this page knows it: who one is, which rooms are open, and what happens in them, over as many connections as it
// takes. It knows nothing of what is on the screen: `changed(what, room, detail)` is called with
//
//   state    the connection, or who one is             shown    a room has to be shown anew (detail: from which number)
//   rooms    the rooms, or what is unread in them      added    events came at a room's end
//   people   who is in a room                          earlier  events came at its beginning
//   typing   who is typing                             touched  something was said about a message (detail: its number)
//   outbox   what is on its way in a room              call     somebody means oneself (detail: the event)
//   said     something for the person to know (detail: a text)

import { kept } from "./kept.js";
import { Outbox } from "./outbox.js";
import { Room } from "./room.js";
import { clean, fold, isSame, names } from "./text.js";
import { Cut, Refused, Wire } from "./wire.js";

const PAGE = 50;
const NEWEST = {}; // the place of the newest page
const REPLAY = 300; // who has missed more than so many gets the rest by scrolling back
const TYPED = 6_000; // so long somebody is shown as typing
const CAPS = ["echo", "presence", "typing", "relations", "data"];
const LATER = new Set(["RATE_LIMITED", "STORE_UNAVAILABLE", "SHUTTING_DOWN"]);

export class Chat {
  #changed;
  #wish = null; // how to come in the first time: {fields of `auth`, or null for the token, done, failed}
  #cursors = new Map(); // what the server knows of our rooms: {last_seq, read_seq}
  #away = null;

  constructor(url, changed) {
    this.#changed = changed;
    this.me = kept.read("me", null); // {nick, account, token}
    this.server = null;
    this.isOnline = false;
    this.rooms = new Map();
    this.current = null;
    this.ignored = new Set(kept.read("ignored", []));
    this.wire = new Wire(url, {
      open: () => this.#greet(),
      event: (event) => this.#hear(event),
      state: (state) => {
        if (state.phase !== "open") this.isOnline = false;
        changed("state");
      },
    });
    this.outbox = new Outbox(
      (type, fields) => (this.isOnline ? this.wire.ask(type, fields) : Promise.reject(new Cut("not in yet"))),
      (name) => this.rooms.get(name),
      (item) => changed("outbox", this.rooms.get(item?.room) ?? null),
    );
  }

  // -- coming and going --------------------------------------------------------------------------------------

  /** Log in with the fields of `auth`. Fails with `Refused` if the server will not have it. */
  logIn(fields) {
    return new Promise((done, failed) => {
      this.#wish = { fields, done, failed };
      this.wire.start();
    });
  }

  /** Come back as who one was here before, however long it takes. */
  comeBack() {
    return new Promise((done) => {
      this.#wish = { fields: null, done };
      this.wire.start();
    });
  }

  /** Leave, and be forgotten by this browser. */
  async logOut() {
    await this.wire.ask("quit").catch(() => {});
    this.#forget();
    for (const name of ["rooms", "current", "drafts", "ignored", "read"]) kept.write(name, null);
    this.rooms.clear();
    this.outbox.items = [];
    this.outbox.fail();
    this.wire.stop();
  }

  /** Give the guest that one is a password, or take over an account. */
  async become(fields) {
    this.#known(await this.wire.ask("auth", { device: device(), ...fields }));
    this.#changed("state");
  }

  async #greet() {
    try {
      this.server = await this.wire.ask("hello", { versions: [1], caps: CAPS, client: "chatd page" });
      this.#welcome(await this.#auth());
    } catch (error) {
      if (error instanceof Cut) return;
      if (!(error instanceof Refused)) throw error;
      this.#notLetIn(error);
    }
  }

  async #auth() {
    if (this.#wish?.fields) return this.wire.ask("auth", { device: device(), ...this.#wish.fields });
    const { token, nick } = this.me;
    try {
      return await this.wire.ask("auth", { mechanism: "token", token, device: device() });
    } catch (error) {
      if (error.details?.suggestion) return this.wire.ask("auth", { mechanism: "token", token, nick: error.details.suggestion });
      if (error.code !== "SESSION_EXPIRED" || this.me.account) throw error;
      // The server has forgotten this guest. What waits may have been said before, so it is not said again by itself.
      this.outbox.fail("It is not known whether this was said.");
      return this.wire.ask("auth", { mechanism: "guest", nick });
    }
  }

  #notLetIn(error) {
    const wish = this.#wish;
    if (wish?.fields) {
      this.#wish = null;
      this.wire.stop();
      wish.failed(error);
    } else if (LATER.has(error.code)) {
      this.#changed("said", null, error.message);
      setTimeout(() => this.wire.again(), (error.seconds ?? 2) * 1000);
    } else {
      const nick = this.me?.nick;
      this.#forget();
      this.wire.stop();
      this.#changed("said", null, `${error.message}. Please log in again${nick ? ` as ${nick}` : ""}.`);
    }
  }

  #forget() {
    this.me = null;
    kept.write("me", null);
    this.#changed("state");
  }

  #known(reply) {
    this.me = { nick: reply.nick, account: reply.account ?? null, token: reply.token ?? this.me?.token };
    kept.write("me", this.me);
    if (reply.ignored) this.ignored = new Set(reply.ignored.map(fold));
  }

  #welcome(reply) {
    const wish = this.#wish;
    this.#wish = null;
    this.#known(reply);
    this.isOnline = true;
    this.#cursors = new Map(reply.rooms.map((found) => [found.room, found]));
    if (!this.rooms.size) for (const name of kept.read("rooms", [])) this.#make(name);
    for (const { room, last_seq, read_seq } of reply.rooms) if (room.startsWith("@") && last_seq > read_seq) this.#make(room);
    for (const room of this.rooms.values()) this.#enter(room);
    if (this.#away) this.wire.ask("set", { self: { away: this.#away } }).catch(() => {});
    this.outbox.run();
    setTimeout(() => this.isOnline && this.wire.settled(), 5_000);
    this.#changed("state");
    wish?.done(reply);
  }

  // -- rooms -------------------------------------------------------------------------------------------------

  /** Open a room or, as `@nick`, a conversation, and show it. Fails with `Refused` if it does not let one in. */
  async open(name, key = null) {
    let room = this.rooms.get(name) ?? [...this.rooms.values()].find((one) => isSame(one.name, name));
    if (!room || (!room.isIn && this.isOnline)) {
      room ??= this.#make(name);
      room.key = key ?? room.key;
      await this.#enter(room, true);
    }
    this.show(room);
    return room;
  }

  /** Have a room on the screen. */
  show(room) {
    this.current = room;
    kept.write("current", room.name);
    if (!room.isLoaded && room.isIn) this.load(room);
    this.#changed("shown", room);
    if (room.isIn && !room.isListed) this.#list(room);
  }

  async leave(room) {
    if (room.isIn && !room.isDirect) await this.wire.ask("part", { room: room.name });
    this.rooms.delete(room.name);
    this.#keepRooms();
    if (this.current === room) {
      this.current = null;
      const [next] = this.rooms.values();
      if (next) this.show(next);
      else this.#changed("shown", null);
    }
    this.#changed("rooms");
  }

  #make(name) {
    const room = this.rooms.get(name) ?? new Room(name);
    this.rooms.set(name, room);
    this.#keepRooms();
    return room;
  }

  #keepRooms() {
    kept.write("rooms", [...this.rooms.keys()]);
    this.#changed("rooms");
  }

  #rename(room, name) {
    if (room.name === name) return;
    this.rooms.delete(room.name);
    this.outbox.renamed(room.name, name);
    room.name = name;
    this.rooms.set(name, room);
    this.#keepRooms();
  }

  /** Be in a room, from the last number on that was heard of it. */
  async #enter(room, isAsked = false) {
    const fields = { room: room.name, since: room.last ?? "now", replay_limit: REPLAY };
    if (room.key) fields.key = room.key;
    try {
      this.#entered(room, await this.wire.ask("join", fields));
    } catch (error) {
      if (error instanceof Cut) return;
      if (error.code === "INVALID_PARAMS" && room.last !== null) {
        room.last = null; // the server has no such number: it went back, or this is another room
        room.clear();
        return this.#enter(room, isAsked);
      }
      if (room.isDirect && error.code === "NO_SUCH_ROOM" && !room.last) return this.#begin(room, isAsked);
      if (LATER.has(error.code) && !isAsked) return setTimeout(() => this.#enter(room), (error.seconds ?? 1) * 1000);
      if (error.code !== "ALREADY_IN_ROOM") this.#shut(room, error, isAsked);
    }
  }

  /** A conversation in which nothing was said yet: it is there once something is, if there is somebody to hear it. */
  async #begin(room, isAsked) {
    try {
      await this.wire.ask("list", { what: "whois", name: room.name.slice(1) });
      room.show({ events: [], prev: null, next: null, first_seq: 1, last_seq: 0 });
      this.#entered(room, { room: room.name, last_seq: 0, topic: "", role: "member", members_count: 2 });
    } catch (error) {
      if (error instanceof Refused) this.#shut(room, error, isAsked);
    }
  }

  #shut(room, error, isAsked) {
    room.isIn = false;
    room.problem = error.message;
    if (isAsked && room.last === null) {
      this.rooms.delete(room.name);
      this.#keepRooms();
    }
    this.#changed("rooms");
    if (this.current === room) this.#changed("shown", room);
    if (isAsked) throw error;
  }

  #entered(room, reply) {
    this.#rename(room, reply.room);
    const isNew = room.last === null;
    Object.assign(room, { isIn: true, problem: null, topic: reply.topic, role: reply.role, count: reply.members_count });
    if (isNew) {
      room.last = reply.last_seq;
      this.outbox.heard(room);
      const read = this.#cursors.get(room.name)?.read_seq ?? kept.read("read", {})[room.name];
      room.read = Math.min(read ?? room.last, room.last);
      room.unread = room.last - room.read;
      if (room.isDirect) room.mentions = room.unread;
      if (read === undefined) this.#mark(room);
    }
    room.isListed = false;
    this.#changed("rooms");
    if (this.current !== room) return;
    this.#list(room);
    if (!room.isLoaded) this.load(room);
  }

  async #list(room) {
    if (room.isDirect) return;
    try {
      room.isListed = true;
      const page = await this.wire.ask("list", { what: "members", room: room.name, limit: 200 });
      room.members.clear();
      for (const member of page.items) room.members.set(fold(member.nick), member);
      room.count = Math.max(room.count, room.members.size);
      this.#changed("people", room);
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Cut)) throw error;
    }
  }

  // -- history -----------------------------------------------------------------------------------------------

  /** Show a page of a room: the latest, or the one around a number. */
  async load(room, around = null) {
    if (room.isLoading) room.wanted = around === null && room.asked === NEWEST ? undefined : around; // it is on its way
    await this.#page(room, around === null ? NEWEST : { around }, (page) => {
      room.show(page);
      this.#changed("shown", room, around);
    });
  }

  /** Scroll back. */
  async loadBefore(room) {
    if (room.prev === null) return;
    await this.#page(room, { before: room.prev }, (page) => {
      room.before(page);
      this.#changed("earlier", room);
    });
  }

  /** Go on, after a jump into the past. */
  async loadAfter(room) {
    if (room.next === null) return;
    await this.#page(room, { after: room.next }, (page) => {
      room.after(page);
      this.#changed("added", room);
    });
  }

  async #page(room, place, use) {
    if (room.isLoading || !room.isIn) return;
    room.isLoading = true;
    room.asked = place;
    room.coming = [];
    const { era } = room;
    try {
      const page = await this.wire.ask("history", { room: room.name, limit: PAGE, ...place });
      if (era === room.era) use(page);
    } catch (error) {
      if (!(error instanceof Cut)) this.#changed("said", room, error.message);
    } finally {
      room.isLoading = false;
    }
    const { wanted } = room;
    room.wanted = undefined;
    if (wanted !== undefined) this.load(room, wanted);
    else if (era !== room.era && !room.isLoaded && room === this.current) this.load(room);
  }

  search(room, query, before = null) {
    return this.wire.ask("history", { room: room.name, query, limit: PAGE, ...(before === null ? {} : { before }) });
  }

  /** Everything in a room has been seen. */
  seen(room) {
    if (!room.isLive || (room.read === room.last && !room.unread)) return;
    Object.assign(room, { read: room.last, unread: 0, mentions: 0 });
    this.#mark(room);
    this.#changed("rooms");
  }

  /** Say how far one has read. The server keeps no such thing of a room in which nothing was said, so this browser does. */
  #mark(room) {
    kept.write("read", { ...kept.read("read", {}), [room.name]: room.read });
    this.wire.ask("mark_read", { room: room.name, seq: room.read }).catch(() => {});
  }

  // -- saying ------------------------------------------------------------------------------------------------

  send(room, body, { kind = "text", replyTo = null } = {}) {
    const more = { ...(kind === "text" ? {} : { kind }), ...(replyTo === null ? {} : { reply_to: replyTo }) };
    this.outbox.add("send", room.name, { body, ...more });
  }

  relate(room, target, rel, more = {}) {
    this.outbox.add("relate", room.name, { target, rel, ...more });
  }

  typing(room, state) {
    this.wire.ask("presence", { typing: { room: room.name, state } }).catch(() => {});
  }

  async away(message) {
    this.#away = message || null;
    await this.wire.ask("set", { self: { away: message || null } });
  }

  async ignore(nick, isOn) {
    if (isOn) this.ignored.add(fold(nick));
    else this.ignored.delete(fold(nick));
    kept.write("ignored", [...this.ignored]);
    if (this.current) this.#changed("shown", this.current);
    if (this.me.account) await this.wire.ask("set", { self: { ignored: [...this.ignored] } });
  }

  async rename(nick) {
    this.#known({ ...this.me, ...(await this.wire.ask("nick", { nick })) });
    this.#changed("state");
  }

  // -- what the server shows ---------------------------------------------------------------------------------

  #hear(event) {
    const room = this.rooms.get(event.room) ?? null;
    if (event.seq !== undefined && event.type !== "caught_up" && event.type !== "read") this.#durable(event, room);
    else if (event.type === "gap" && room) this.#added(room, event);
    else if (event.type === "presence") this.#presence(event, room);
    else if (event.type === "typing" && room) this.#typing(event, room);
    else if (event.type === "read" && room) this.#read(event, room);
    else if (event.type === "invite") this.#changed("said", null, `${event.by} asks you into ${event.room}`);
    else if (event.type === "notice" || event.type === "error") this.#changed("said", null, event.message);
  }

  #durable(event, known) {
    let room = known;
    if (!room) {
      if (!event.room.startsWith("@")) return;
      room = this.#make(event.room); // somebody's first word to us
      Object.assign(room, { isIn: true, last: event.seq - 1, read: event.seq - 1 });
    }
    this.outbox.heard(room, event.msg_id);
    if (!this.#added(room, event)) return;
    if (event.type === "relation") this.#changed("touched", room, event.target);
    if (event.type === "room" && event.changes.topic !== undefined) room.topic = event.changes.topic;
    if (event.type === "member") this.#memberChanged(room, event);
  }

  /** Says whether it is new. */
  #added(room, event) {
    if (!room.hear(event)) return false;
    this.outbox.heard(room);
    if (event.type === "message") this.#count(room, event); // before it is shown, which may mean that it is read
    if (room.isLive) this.#changed("added", room);
    else if (!room.isLoaded && room === this.current) this.load(room);
    return true;
  }

  #count(room, event) {
    room.typing.delete(event.from.nick);
    this.#changed("typing", room);
    if (this.isMine(event) || this.ignored.has(fold(event.from.nick))) return;
    room.unread += 1;
    if (room.isDirect || names(clean(event.body), this.me.nick)) {
      room.mentions += 1;
      this.#changed("call", room, event);
    }
  }

  #memberChanged(room, { who, change, role, by, reason }) {
    const member = room.members.get(fold(who));
    if (change === "role" && member) member.role = role;
    if (change === "role" && isSame(who, this.me.nick)) room.role = role;
    if ((change === "kick" || change === "ban") && isSame(who, this.me.nick)) {
      this.#out(room, `${by} put you out of this room${reason ? `: ${reason}` : ""}`);
    }
    this.#changed("people", room);
  }

  #out(room, problem) {
    Object.assign(room, { isIn: false, problem: clean(problem) });
    this.#changed("rooms");
    if (room === this.current) this.#changed("shown", room);
  }

  #presence(event, room) {
    const { nick } = this.me;
    const went = (event.left ?? []).find((one) => isSame(one.nick, nick));
    for (const { from, to } of event.renamed ?? []) {
      const direct = this.rooms.get(`@${from}`);
      if (direct) this.#rename(direct, `@${to}`);
      if (isSame(from, nick)) this.#known({ ...this.me, nick: to });
    }
    if (room && went) this.#out(room, `You are not in this room any more: ${went.reason}`);
    room?.presence(event);
    if (room) this.#changed("people", room);
    if (event.renamed) this.#changed("state");
  }

  #typing({ who, state }, room) {
    clearTimeout(room.typing.get(who));
    room.typing.delete(who);
    const stop = () => {
      room.typing.delete(who);
      this.#changed("typing", room);
    };
    if (state === "active" && !isSame(who, this.me.nick)) room.typing.set(who, setTimeout(stop, TYPED));
    this.#changed("typing", room);
  }

  #read({ seq }, room) {
    if (seq < room.read) return;
    room.read = seq;
    if (seq >= room.last) Object.assign(room, { unread: 0, mentions: 0 });
    this.#changed("rooms");
  }

  /** Whether this was said by oneself. */
  isMine(event) {
    const { nick, account } = this.me ?? {};
    return event.from.account ? event.from.account === account : isSame(event.from.nick, nick);
  }
}

/** What this browser is called among the devices of an account. */
function device() {
  const name = kept.read("device", null) ?? `browser-${Math.random().toString(36).slice(2, 8)}`;
  kept.write("device", name);
  return name;
}
