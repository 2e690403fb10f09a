// One room as this page knows it: a stretch of its history without holes, what was said about its messages, and who is in it.
//
// `events` is that stretch, ascending, with a `gap` where numbers will not come. It is live if it reaches to the last number;
// after a jump into the past it is not, until somebody goes on to its end. `last` is the highest number that was heard, from
// which the room goes on after a cut.

import { fold, isSame } from "./text.js";

const LONG = 800; // so many events are shown before the oldest are let go, which scrolling back brings again
const KEPT = 400;

export class Room {
  constructor(name) {
    this.name = name;
    this.topic = "";
    this.role = "member";
    this.isIn = false; // whether the server shows us this room just now
    this.problem = null; // why we are not in it any more
    this.key = null;
    this.last = null;
    this.read = null;
    this.unread = 0;
    this.mentions = 0;
    this.members = new Map();
    this.isListed = false; // whether these are all of them, or as many as a page holds
    this.count = 0;
    this.typing = new Map();
    this.isLoading = false;
    this.asked = null; // which page was asked for last
    this.coming = []; // what is said while a page is on its way
    this.era = 0; // a page that was asked for in an earlier one is of no use
    this.clear();
  }

  get isDirect() {
    return this.name.startsWith("@");
  }

  get mayKeepOrder() {
    return this.role === "owner" || this.role === "operator";
  }

  // -- the stretch -------------------------------------------------------------------------------------------

  /** Forget what is shown; it has to be loaded again. */
  clear() {
    this.events = [];
    this.about = new Map();
    this.prev = null;
    this.next = null;
    this.first = 1;
    this.isLive = false;
    this.isLoaded = false;
    this.era += 1;
  }

  /** What the server shows. Says whether it is new. */
  hear(event) {
    const end = event.type === "gap" ? event.to : event.seq;
    if (this.last !== null && end <= this.last) return false;
    const isHole = this.last !== null && (event.type === "gap" || end > this.last + 1);
    this.last = end;
    if (event.type === "gap" && event.reason === "skipped" && !event.damaged) this.clear(); // history has them
    else if (isHole && event.type !== "gap") this.clear();
    else if (this.isLive) this.#put([event]);
    else if (this.isLoading) this.coming.push(event);
    return true;
  }

  /** A page of history in the place of all that was shown. */
  show(page) {
    this.clear();
    this.isLoaded = true;
    this.prev = page.prev;
    this.after(page);
  }

  /** A page that goes before. */
  before(page) {
    const events = whole(page);
    this.prev = page.prev;
    this.first = page.first_seq;
    this.events = [...events, ...this.events];
    this.#relate(events);
  }

  /** A page that goes on; if it reaches the end, so does what came in the meantime. */
  after(page) {
    const shown = whole(page);
    this.next = page.next;
    this.first = page.first_seq;
    this.#put(shown);
    if (page.next !== null) return;
    const end = Math.max(page.last_seq, this.events.at(-1)?.seq ?? 0);
    const rest = this.coming.filter((event) => (event.seq ?? event.to) > end);
    this.coming = [];
    this.isLive = true;
    this.last = Math.max(this.last ?? 0, end);
    this.#put(rest);
  }

  /** Let go of the oldest, if there are very many. Says whether it did. */
  shorten() {
    if (!this.isLive || this.events.length < LONG) return false;
    this.events = this.events.slice(-KEPT);
    this.prev = this.events[0].from ?? this.events[0].seq;
    return true;
  }

  #put(events) {
    this.events.push(...events);
    this.#relate(events);
  }

  #relate(events) {
    for (const event of events) {
      if (event.type !== "relation") continue;
      const found = this.about.get(event.target) ?? [];
      if (found.some((one) => one.seq === event.seq)) continue;
      this.about.set(event.target, [...found, event].sort((one, other) => one.seq - other.seq));
    }
  }

  find(seq) {
    return this.events.find((event) => event.type === "message" && event.seq === seq) ?? null;
  }

  /** The last message of one's own that can still be changed. */
  lastOf(nick) {
    const isMine = (event) => event.type === "message" && isSame(event.from.nick, nick) && event.kind === "text";
    return this.events.findLast((event) => isMine(event) && !this.look(event).isGone) ?? null;
  }

  /** A message with all that was said about it: {body, isEdited, isGone, isPinned, reactions: Map of key to nicks}. */
  look(message) {
    const found = { body: message.body, isEdited: false, isGone: message.redacted === true, isPinned: false, reactions: new Map() };
    for (const { rel, body, key, from } of this.about.get(message.seq) ?? []) {
      const nicks = found.reactions.get(key) ?? [];
      const others = nicks.filter((nick) => !isSame(nick, from.nick));
      if (rel === "edit" && body !== undefined) Object.assign(found, { body, isEdited: true });
      else if (rel === "redact") found.isGone = true;
      else if (rel === "pin" || rel === "unpin") found.isPinned = rel === "pin";
      else if (rel === "react") found.reactions.set(key, [...others, from.nick]);
      else if (rel === "unreact") others.length ? found.reactions.set(key, others) : found.reactions.delete(key);
    }
    return found;
  }

  // -- people ------------------------------------------------------------------------------------------------

  came(nick) {
    if (!this.members.has(fold(nick))) this.members.set(fold(nick), { nick, away: false });
  }

  went(nick) {
    this.members.delete(fold(nick));
    this.typing.delete(nick);
  }

  /** What `presence` says of this room. */
  presence({ joined = [], left = [], away = [], renamed = [], count }) {
    for (const nick of joined) this.came(nick);
    for (const { nick } of left) this.went(nick);
    for (const { from, to } of renamed) {
      const member = this.members.get(fold(from));
      if (!member) continue;
      this.went(from);
      this.members.set(fold(to), { ...member, nick: to });
    }
    for (const { nick, away: isAway } of away) {
      const member = this.members.get(fold(nick));
      if (member) member.away = isAway;
    }
    this.count = count ?? Math.max(this.count + joined.length - left.length, this.members.size);
  }
}

/** The events of a page, with its gaps in their places. */
function whole(page) {
  const gaps = page.gaps ?? [];
  return gaps.length ? [...page.events, ...gaps].sort((one, other) => (one.seq ?? one.to) - (other.seq ?? other.to)) : page.events;
}
