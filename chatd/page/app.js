// The page: its parts are made here, and joined.

import { Chat } from "./chat.js";
import { run } from "./commands.js";
import { Composer } from "./composer.js";
import { Dialogs, setTheme } from "./dialogs.js";
import { Door } from "./door.js";
import { kept } from "./kept.js";
import { notify } from "./notices.js";
import * as side from "./side.js";
import { clean } from "./text.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const lobby = document.querySelector("meta[name=lobby]").content;
const address = new URL("ws", document.baseURI);
address.protocol = address.protocol.replace("http", "ws");
setTheme(kept.read("theme", ""));

const MOMENT = 30; // milliseconds
let drawing = 0;
let shown = null;
const chat = new Chat(address.href, changed);
const act = {
  reply: (message) => composer.reply(message),
  edit: (message) => composer.edit(message),
  react: (message) => dialogs.react(message),
  toggle: (message, key, isMine) => chat.relate(chat.current, message.seq, isMine ? "unreact" : "react", { key }),
  redact: (message) => {
    const room = chat.current;
    dialogs.sure("Delete this message?", clean(room.look(message).body), "Delete", () => chat.relate(room, message.seq, "redact"));
  },
  jump: (seq) => timeline.jump(seq),
};
const timeline = new Timeline(chat, act);
const dialogs = new Dialogs(chat, act);
const composer = new Composer(chat, (name, rest, room) => run(name, rest, { chat, room, show: dialogs }));
const door = new Door(chat, entered);

// -- what is to be drawn ------------------------------------------------------------------------------------------

function changed(what, room, detail) {
  const isShown = room === chat.current;
  if (what === "state") leaveIfOut();
  if (what === "state" || (what === "outbox" && (isShown || !room)) || (what === "added" && isShown)) timeline.changed();
  else if (what === "shown") show(detail);
  else if (what === "call") notify(room, detail, (one) => chat.show(one));
  else if (what === "said") chat.me ? side.toast(detail) : door.show(detail);
  else if (isShown && what === "earlier") timeline.earlier();
  else if (isShown && what === "touched") timeline.touched(detail);
  drawing ||= setTimeout(drawSide, MOMENT);
}

/** What stands around the talk, however much has changed within a moment. */
function drawSide() {
  drawing = 0;
  side.showConnection(chat);
  side.showRooms(chat);
  side.showPeople(chat, (member) => dialogs.person(member));
  side.showBar(chat);
  side.showTyping(chat);
  side.showTitle(chat);
}

/** The current room, anew; `around` is the number of the message that somebody wants to see. */
function show(around = null) {
  const isOther = shown !== chat.current;
  shown = chat.current;
  composer.show(chat.current);
  timeline.show(isOther, around ?? null);
  drawSide();
  closeDrawers();
  if (isOther && chat.current) history.replaceState(null, "", `#${chat.current.name.replace(/^#/, "")}`);
  if (isOther && matchMedia("(pointer: fine)").matches) composer.focus();
}

// -- coming in, and out -------------------------------------------------------------------------------------------

/** The invite that the address has, if it has one. It is taken out of it: it is good once, and nobody else's. */
function invited() {
  const [, word] = location.hash.match(/^#invite=([\w-]+)$/) ?? [];
  if (word) history.replaceState(null, "", location.pathname);
  return word ?? null;
}

/** The room that the address names, if it names one. */
function wanted() {
  const name = decodeURIComponent(location.hash.slice(1));
  return name ? (name.startsWith("@") ? name : `#${name}`) : null;
}

async function entered() {
  $("house").hidden = false;
  const name = wanted() ?? kept.read("current", null) ?? lobby;
  try {
    await chat.open(name);
  } catch (error) {
    side.toast(error.message);
    if (error.code === "BAD_KEY") dialogs.browse(name);
    const [room] = chat.rooms.values();
    if (room) chat.show(room);
    else if (name !== lobby) await chat.open(lobby);
  }
}

function leaveIfOut() {
  if (chat.me || $("house").hidden) return;
  $("house").hidden = true;
  shown = null;
  chat.current = null;
  history.replaceState(null, "", location.pathname);
  door.show();
}

window.addEventListener("hashchange", () => chat.isOnline && wanted() && chat.open(wanted()).catch((error) => side.toast(error.message)));
window.addEventListener("online", () => chat.me && chat.wire.state.phase === "waiting" && chat.wire.start());
window.addEventListener("beforeunload", (event) => !chat.outbox.isEmpty && event.preventDefault());
setInterval(() => chat.wire.state.phase === "waiting" && side.showConnection(chat), 1_000);

// -- buttons and keys ---------------------------------------------------------------------------------------------

function drawer(button, part, other) {
  $(button).addEventListener("click", () => {
    const isOpen = $(part).classList.toggle("open");
    $(button).ariaExpanded = String(isOpen);
    $(other).classList.remove("open");
    if (isOpen) $(part).querySelector("button")?.focus();
  });
}

function closeDrawers() {
  for (const part of ["side", "people"]) $(part).classList.remove("open");
  for (const button of ["show-side", "show-people"]) $(button).ariaExpanded = "false";
}

drawer("show-side", "side", "people");
drawer("show-people", "people", "side");
$("log").addEventListener("click", closeDrawers);
$("browse").addEventListener("click", () => dialogs.browse());
$("me").addEventListener("click", () => dialogs.me());
for (const button of document.querySelectorAll(".search")) button.addEventListener("click", () => dialogs.search());
for (const button of document.querySelectorAll(".leave")) {
  button.addEventListener("click", () => chat.leave(chat.current).catch((error) => side.toast(error.message)));
}
$("banner").lastElementChild.addEventListener("click", () => chat.wire.start());

function step(by) {
  const names = [...document.querySelectorAll("#side .room .name")].map((found) => found.textContent);
  const name = names[(names.indexOf(chat.current?.name) + by + names.length) % names.length];
  if (name) chat.show(chat.rooms.get(name));
}

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || $("house").hidden) return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && event.key === "k") dialogs.browse();
  else if (isCommand && event.key === "f" && chat.current) dialogs.search();
  else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) step(event.key === "ArrowUp" ? -1 : 1);
  else if (event.key === "Escape") {
    closeDrawers();
    if (!composer.cancel() && chat.current) timeline.goToNewest(), composer.focus();
  } else return;
  event.preventDefault();
});

const invite = invited();
if (chat.me) {
  $("door").hidden = true;
  $("house").hidden = false;
  chat.comeBack().then(entered).then(() => invite && !chat.me.account && dialogs.me(invite));
} else {
  door.show();
  if (invite) door.invite(invite);
}
