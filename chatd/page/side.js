// What stands beside the talk: the rooms with what is unread, the people, and how the connection is.

import { clean, colour, fold, make, many } from "./text.js";

const $ = (id) => document.getElementById(id);

/** The rooms and conversations. */
export function showRooms(chat) {
  const rooms = [...chat.rooms.values()].sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const update = (item, room) => showRoom(item, room, chat);
  sync($("room-list"), rooms.filter((room) => !room.isDirect), (room) => room.name, update);
  sync($("direct-list"), rooms.filter((room) => room.isDirect), (room) => room.name, update);
  const elsewhere = rooms.filter((room) => room !== chat.current).reduce((sum, room) => sum + room.unread, 0);
  $("elsewhere").hidden = !elsewhere;
  $("elsewhere").textContent = count(elsewhere);
}

const count = (number) => (number > 99 ? "99+" : String(number));

/** Make a list what it should be. What is there already stays, or a click and the focus on it would be lost. */
function sync(list, wanted, key, update) {
  const old = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const items = wanted.map((one) => {
    const item = old.get(key(one)) ?? make("li");
    item.dataset.key = key(one);
    update(item, one);
    return item;
  });
  if (items.length === list.children.length && items.every((item, at) => item === list.children[at])) return;
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  list.replaceChildren(...items);
  focused?.focus();
}

function showRoom(item, room, chat) {
  if (!item.firstChild) {
    const parts = [make("span", { className: "name", textContent: room.name, title: room.name }), make("span", { ariaHidden: "true" }), make("span", { className: "unseen" })];
    item.append(make("button", { type: "button", onclick: () => chat.show(room) }, ...parts));
  }
  const [button] = item.children;
  const [, badge, words] = button.children;
  const isMeant = room.mentions > 0;
  button.className = ["room", room.problem && "lost", room.unread && "unread"].filter(Boolean).join(" ");
  button.ariaCurrent = room === chat.current ? "true" : null;
  badge.className = isMeant ? "badge meant" : "badge";
  badge.hidden = !room.unread;
  badge.textContent = count(room.unread);
  words.textContent = room.unread ? `${room.unread} unread${isMeant ? ", for you" : ""}` : "";
}

/** Who is in the room that is shown. */
export function showPeople(chat, open) {
  const room = chat.current;
  const people = room ? [...room.members.values()].sort((one, other) => one.nick.localeCompare(other.nick)) : [];
  const total = room ? Math.max(room.count, people.length) : 0;
  $("people-count").textContent = room?.isDirect ? "You two" : many(total, "person").replace("persons", "people");
  const shown = people.slice(0, 200);
  sync($("people-list"), shown, (member) => member.nick, (item, member) => showPerson(item, member, open));
  $("people-more").textContent = total > shown.length && shown.length ? `and ${total - shown.length} more` : "";
  $("show-people").textContent = total > 1 && !room.isDirect ? `People ${total}` : "People";
}

function showPerson(item, member, open) {
  const { nick, away, bot, role } = member;
  if (!item.firstChild) {
    const parts = [make("span", { className: `nick ${colour(nick)}`, textContent: nick, title: nick }), make("span", { className: "quiet" })];
    item.append(make("button", { type: "button", ariaHasPopup: "dialog" }, ...parts));
  }
  const [button] = item.children;
  button.className = away ? "person away" : "person";
  button.onclick = () => open(member);
  button.lastChild.textContent = [bot && "bot", role !== "member" && role, away && "away"].filter(Boolean).join(", ");
}

/** Name and topic of the room that is shown, and whether something can be done with it. */
export function showBar(chat) {
  const room = chat.current;
  $("room-name").textContent = room?.name ?? "";
  $("topic").textContent = clean(room?.topic ?? "");
  $("topic").title = $("topic").textContent;
  for (const button of document.querySelectorAll(".deeds button")) button.hidden = !room;
  for (const button of document.querySelectorAll(".leave")) button.textContent = room?.isDirect ? "Close" : "Leave";
}

export function showTyping(chat) {
  const nicks = [...(chat.current?.typing.keys() ?? [])].filter((nick) => !chat.ignored.has(fold(nick)));
  const words = { 0: "", 1: `${nicks[0]} is typing …`, 2: `${nicks[0]} and ${nicks[1]} are typing …` };
  $("typing").textContent = words[nicks.length] ?? "Several people are typing …";
}

/** How the connection is, in words that everybody understands. */
export function showConnection(chat) {
  const { phase, until, why, code } = chat.wire.state;
  const seconds = Math.max(1, Math.ceil((until - Date.now()) / 1000));
  const words = {
    waiting: `No connection${why ? ` (${clean(why)})` : ""}. Trying again in ${many(seconds, "second")}. What you write is kept, and sent then.`,
    dialling: "Connecting …",
    open: chat.isOnline ? "" : "Coming in …",
    ended: `${clean(why) || code}. You are not connected any more.`,
    off: "",
  }[phase];
  const isTrouble = phase === "waiting" || phase === "ended" || (phase === "dialling" && chat.current !== null);
  $("banner").hidden = !isTrouble;
  $("banner").firstElementChild.textContent = words;
  $("banner").lastElementChild.textContent = phase === "ended" ? "Connect again" : "Try now";
  $("connection").textContent = chat.isOnline ? "connected" : phase === "ended" ? "not connected" : "connecting …";
  $("connection").className = chat.isOnline ? "good" : "bad";
  $("me").textContent = chat.me?.nick ?? "";
  $("network").textContent = chat.server?.network ?? "chatd";
}

/** What the window is called: how much is unread, and where. */
export function showTitle(chat) {
  const rooms = [...chat.rooms.values()];
  const unread = rooms.reduce((sum, room) => sum + room.unread, 0);
  const meant = rooms.reduce((sum, room) => sum + room.mentions, 0);
  const mark = meant ? `(${meant}!) ` : unread ? `(${unread}) ` : "";
  const place = chat.current ? `${chat.current.name} – ` : "";
  document.title = `${mark}${place}${chat.server?.network ?? "chatd"}`;
}

/** A word that goes away by itself. */
export function toast(text) {
  const found = make("p", { textContent: clean(text) });
  $("toasts").append(found);
  setTimeout(() => found.remove(), 8_000);
}
