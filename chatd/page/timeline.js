// What was said in the room that is shown: from its events to elements, scrolling, and what one can do with a message.

import { clean, colour, dayOf, isSame, fold, make, many, names, nodes, timeOf, dateAndTime } from "./text.js";

const NEAR = 300; // pixels from an end at which more is loaded
const END = 40; // pixels from the end within which one follows what is said
const MOMENT = 15; // milliseconds
const TOGETHER = 5 * 60_000; // messages of one person within so long stand together

export class Timeline {
  #chat;
  #log;
  #newest;
  #tools;
  #act;
  #divider = null;
  #follows = true;
  #timer = 0;
  #end = null; // the last event that was drawn
  #last = null; // the last that is to be seen
  #bottom = 0; // how far down the end was
  #waiting = make("div", { className: "waiting" });

  /** `act` has what can be done with a message: reply, react, edit, redact, toggle. */
  constructor(chat, act) {
    this.#chat = chat;
    this.#act = act;
    this.#log = document.getElementById("log");
    this.#newest = document.getElementById("newest");
    this.#tools = make("div", { className: "tools", role: "toolbar", ariaLabel: "Message" });
    this.#log.addEventListener("scroll", () => this.#scrolled());
    this.#log.addEventListener("keydown", (event) => this.#pressed(event));
    for (const kind of ["mouseover", "focusin"]) this.#log.addEventListener(kind, ({ target }) => this.#point(target));
    this.#newest.addEventListener("click", () => this.goToNewest());
    new ResizeObserver(() => {
      this.#heed();
      if (this.#follows) this.#toEnd();
    }).observe(this.#log);
    for (const [target, kind] of [[window, "focus"], [document, "visibilitychange"]]) target.addEventListener(kind, () => this.#look());
  }

  get #room() {
    return this.#chat.current;
  }

  // -- showing -----------------------------------------------------------------------------------------------

  /** Another room, or another stretch of it; `around` is the number of the message to show. */
  show(isOther, around = null) {
    const room = this.#room;
    this.#log.ariaLabel = room ? `Messages in ${room.name}` : "Messages";
    if (isOther) this.#divider = room?.unread ? room.read : null;
    this.#follows = around === null;
    this.#render();
    if (around !== null) this.#goTo(around);
    else this.#toEnd();
    this.#look();
  }

  /** Events that came before what is shown: what one looks at stays where it is. */
  earlier() {
    const height = this.#log.scrollHeight - this.#log.scrollTop;
    this.#render();
    this.#log.scrollTop = this.#log.scrollHeight - height;
    this.#more();
  }

  /** Something came after what is shown, or is on its way: it is drawn with what else comes within a moment. */
  changed() {
    this.#timer ||= setTimeout(() => this.#draw(), MOMENT);
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const room = this.#room;
    if (!room) return;
    this.#heed();
    const at = room.events.lastIndexOf(this.#end);
    if (at < 0 || (this.#follows && room.shorten())) this.#render();
    else this.#append(room.events.slice(at + 1));
    if (this.#follows) this.#toEnd();
    else this.#more();
    this.#look();
  }

  #append(events) {
    for (const event of events) {
      const found = this.#build(event, this.#last);
      this.#end = event;
      if (!found.length) continue;
      this.#waiting.before(...found);
      this.#last = event;
    }
    this.#onTheirWay();
  }

  /** Something was said about a message. */
  touched(seq) {
    this.#draw();
    const [old, message] = [this.#element(seq), this.#room.find(seq)];
    if (!old || !message) return;
    const isFocused = old.contains(document.activeElement);
    const found = this.#article(message, old.classList.contains("same"));
    old.replaceWith(found);
    if (isFocused) found.focus();
    if (this.#follows) this.#toEnd();
  }

  /** Show the end of the room. */
  goToNewest() {
    if (this.#room.isLive) this.#follow();
    else this.#chat.load(this.#room);
  }

  #follow() {
    this.#follows = true;
    this.#toEnd();
    this.#look();
  }

  /** Show the message of this number, wherever it is. */
  jump(seq) {
    if (this.#element(seq)) this.#goTo(seq);
    else this.#chat.load(this.#room, seq);
  }

  #render() {
    const events = this.#room?.events ?? [];
    this.#log.ariaBusy = "true"; // or all of it would be read out
    this.#last = null;
    this.#end = events.at(-1) ?? null;
    this.#log.replaceChildren(this.#top(), this.#waiting);
    this.#append(events);
    setTimeout(() => (this.#log.ariaBusy = "false"), 100);
  }

  /** What is written, but not yet known to be said. */
  #onTheirWay() {
    const items = this.#room ? this.#chat.outbox.of(this.#room.name) : [];
    this.#waiting.replaceChildren(...items.map((item) => this.#onItsWay(item)));
  }

  #top() {
    const room = this.#room;
    let words = "";
    if (!room) words = "Find a room, or write to somebody.";
    else if (room.problem) words = room.problem;
    else if (!room.isLoaded) words = "Loading …";
    else if (room.prev !== null) words = "Loading what was said before …";
    else if (room.first > 1) words = "What was said before this is not kept any more.";
    else if (room.isDirect) words = `This is between you and ${room.name.slice(1)}.`;
    else words = `This is the beginning of ${room.name}. ${invitation()}`;
    return make("p", { className: "top quiet", textContent: words });
  }

  // -- elements ----------------------------------------------------------------------------------------------

  #build(event, previous) {
    const found = [];
    const isOtherDay = event.time && (!previous?.time || dayOf(previous.time) !== dayOf(event.time));
    const main = this.#main(event, isOtherDay ? null : previous);
    if (!main) return found;
    if (isOtherDay) found.push(make("p", { className: "day", textContent: dayOf(event.time) }));
    if (this.#divider !== null && event.seq > this.#divider && (previous?.seq ?? 0) <= this.#divider && !this.#chat.isMine(event)) {
      found.push(make("p", { className: "new", textContent: "New" }));
      main.classList.remove("same");
    }
    return [...found, main];
  }

  #main(event, previous) {
    if (event.type === "gap") return make("p", { className: "event", textContent: gapWords(event) });
    if (event.type === "message" && !this.#chat.ignored.has(fold(event.from.nick))) {
      return this.#article(event, isTogether(previous, event));
    }
    const words = eventWords(event);
    return words && make("p", { className: "event", title: dateAndTime(event.time), textContent: clean(words) });
  }

  #article(message, isSameAuthor) {
    const { nick, bot } = message.from;
    const look = this.#room.look(message);
    const mine = this.#chat.isMine(message);
    const text = clean(look.body);
    const isMeant = !mine && names(text, this.#chat.me.nick);
    const found = make("article", { tabIndex: -1, id: `m${message.seq}` });
    found.dataset.seq = message.seq;
    found.className = ["message", message.kind, isSameAuthor && "same", mine && "mine", isMeant && "meant"].filter(Boolean).join(" ");
    const who = make("span", { className: `nick ${colour(nick)}`, textContent: nick });
    const time = make("time", { dateTime: message.time, title: dateAndTime(message.time), textContent: timeOf(message.time) });
    found.append(make("div", { className: "head" }, who, bot ? make("span", { className: "bot", textContent: "bot" }) : null, " ", time));
    if (message.reply_to && !look.isGone) found.append(this.#quote(message.reply_to));
    const body = make("p", { className: "body", dir: "auto" });
    if (look.isGone) body.append(make("em", { className: "quiet", textContent: "This message was taken back." }));
    else body.append(...nodes(text, mine ? "" : this.#chat.me.nick));
    if (look.isEdited && !look.isGone) body.append(make("span", { className: "quiet edited", textContent: " (edited)" }));
    found.append(body);
    if (look.reactions.size && !look.isGone) found.append(this.#reactions(message, look.reactions));
    return found;
  }

  #quote(seq) {
    const message = this.#room.find(seq);
    const look = message && this.#room.look(message);
    const words = look && !look.isGone ? `${message.from.nick}: ${clean(look.body).replace(/\s+/g, " ").slice(0, 140)}` : "an earlier message";
    return make("button", { type: "button", className: "quote plain", textContent: `In answer to ${words}`, onclick: () => this.jump(seq) });
  }

  #reactions(message, reactions) {
    const list = make("ul", { className: "reactions" });
    for (const [key, nicks] of reactions) {
      const mine = nicks.some((nick) => isSame(nick, this.#chat.me.nick));
      const button = make("button", { type: "button", ariaPressed: String(mine), title: nicks.join(", ") }, make("span", { textContent: clean(key) }), ` ${nicks.length}`);
      button.ariaLabel = `${clean(key)}, ${many(nicks.length, "reaction")}`;
      button.addEventListener("click", () => this.#act.toggle(message, key, mine));
      list.append(make("li", {}, button));
    }
    return list;
  }

  #onItsWay(item) {
    const found = make("article", { className: `message text mine ${item.problem ? "failed" : "sending"}` });
    const state = item.problem ? `Not sent: ${item.problem}` : this.#chat.isOnline ? "Sending …" : "Will be sent when the connection is back";
    found.append(make("div", { className: "head" }, make("span", { className: "nick", textContent: this.#chat.me?.nick ?? "" }), " "));
    found.append(make("p", { className: "body", dir: "auto", textContent: clean(item.fields.body) }));
    const line = make("p", { className: item.problem ? "problem" : "quiet", textContent: `${state} ` });
    if (item.problem) {
      for (const [name, act] of [["Try again", () => this.#chat.outbox.again(item)], ["Discard", () => this.#chat.outbox.drop(item)]]) {
        line.append(make("button", { type: "button", className: "plain", textContent: name, onclick: act }), " ");
      }
    }
    found.append(line);
    return found;
  }

  // -- what can be done with a message -----------------------------------------------------------------------

  #deeds(message) {
    const look = this.#room.look(message);
    const mine = this.#chat.isMine(message);
    if (look.isGone || !this.#room.isIn) return [];
    const deeds = [["Reply", "r", this.#act.reply], ["React", "+", this.#act.react]];
    if (mine && message.kind === "text") deeds.push(["Edit", "e", this.#act.edit]);
    if (mine || this.#room.mayKeepOrder) deeds.push(["Delete", "Delete", this.#act.redact]);
    return deeds;
  }

  #point(target) {
    const article = target.closest?.("article[data-seq]");
    if (!article || this.#tools.parentElement === article) return;
    const message = this.#room.find(Number(article.dataset.seq));
    const buttons = message ? this.#deeds(message).map(([name, key, act]) => {
      return make("button", { type: "button", className: "plain", textContent: name, title: `${name} (${key})`, onclick: () => act(message) });
    }) : [];
    this.#tools.replaceChildren(...buttons);
    if (buttons.length) article.append(this.#tools);
  }

  #pressed(event) {
    const article = event.target.closest("article[data-seq]");
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step && (article || event.target === this.#log)) {
      const all = [...this.#log.querySelectorAll("article[data-seq]")];
      const next = article ? all[all.indexOf(article) + step] : all.at(-1);
      if (!next) return;
      event.preventDefault();
      next.focus();
    } else if (article === event.target && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const message = this.#room.find(Number(article.dataset.seq));
      const deed = this.#deeds(message).find(([, key]) => key === event.key);
      if (!deed) return;
      event.preventDefault();
      deed[2](message);
    }
  }

  // -- scrolling ---------------------------------------------------------------------------------------------

  #element(seq) {
    return document.getElementById(`m${seq}`);
  }

  get #isAtEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < END;
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#bottom = this.#log.scrollTop;
    this.#more();
  }

  #goTo(seq) {
    const found = this.#element(seq);
    if (!found) return;
    this.#follows = false;
    found.scrollIntoView({ block: "center" });
    found.focus({ preventScroll: true });
    found.classList.remove("found");
    requestAnimationFrame(() => found.classList.add("found"));
    this.#more();
  }

  /** Who has scrolled up is not pulled down again, though the browser tells of it only with the next frame. */
  #heed() {
    if (this.#log.scrollTop < this.#bottom && !this.#isAtEnd) this.#follows = false;
  }

  #scrolled() {
    const isAtEnd = this.#isAtEnd;
    if (isAtEnd !== this.#follows) {
      this.#follows = isAtEnd;
      if (isAtEnd) this.#look();
    }
    this.#more();
  }

  #more() {
    const room = this.#room;
    if (!room?.isLoaded) return;
    this.#newest.hidden = room.isLive && this.#isAtEnd;
    if (this.#log.scrollTop < NEAR && room.prev !== null) this.#chat.loadBefore(room);
    else if (!room.isLive && this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR) this.#chat.loadAfter(room);
  }

  /** What is looked at is read. */
  #look() {
    const room = this.#room;
    const isSeen = document.visibilityState === "visible" && document.hasFocus();
    if (room?.isLive && isSeen && this.#isAtEnd) this.#chat.seen(room);
  }
}

/** How others come in. */
function invitation() {
  const { origin, hostname, port } = location;
  return `Others come in at ${origin}${port ? `, or with: nc ${hostname} ${port}` : ""}`;
}

function isTogether(previous, message) {
  if (previous?.type !== "message" || previous.kind !== "text" || message.kind !== "text" || message.reply_to) return false;
  return isSame(previous.from.nick, message.from.nick) && new Date(message.time) - new Date(previous.time) < TOGETHER;
}

function gapWords({ from, to, reason }) {
  const count = many(to - from + 1, "message");
  return reason === "retention" ? `${count} from before are not kept any more` : `${count} cannot be shown`;
}

function eventWords({ type, by, who, change, role, until, reason, changes, rel, from, target }) {
  if (type === "relation") return rel === "pin" || rel === "unpin" ? `${from.nick} ${rel}ned message ${target}` : null;
  const why = `${until ? `, until ${dateAndTime(until)}` : ""}${reason ? `: ${reason}` : ""}`;
  if (type === "member") {
    const words = {
      kick: `${by} put ${who} out`, ban: `${by} banned ${who}`, unban: `${by} lifted the ban of ${who}`, mute: `${by} muted ${who}`,
      unmute: `${by} lets ${who} speak again`, role: `${by} made ${who} ${role}`, invite: `${by} invited ${who}`,
    };
    return `${words[change] ?? `${by}: ${change} ${who}`}${why}`;
  }
  if (type !== "room") return null;
  return Object.entries(changes).map(([name, value]) => {
    if (name === "topic") return value ? `${by} set the topic: ${value}` : `${by} cleared the topic`;
    return `${by} set ${name} to ${value}`;
  }).join("; ");
}
