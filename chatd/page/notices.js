// Telling a person who looks elsewhere: notifications of the system, if the person and the browser allow them.

import { kept } from "./kept.js";
import { clean } from "./text.js";

export const canNotify = "Notification" in globalThis && globalThis.isSecureContext;
export const isOn = () => canNotify && kept.read("notify", false) && Notification.permission === "granted";

/** Switch them on or off. Says whether they are on now. */
export async function switchTo(wanted) {
  kept.write("notify", wanted);
  if (wanted && canNotify && Notification.permission === "default") await Notification.requestPermission();
  return isOn();
}

/** Tell of a message, unless it is being looked at. */
export function notify(room, event, open) {
  if (!isOn() || document.hasFocus()) return;
  const title = room.isDirect ? event.from.nick : `${event.from.nick} in ${room.name}`;
  const found = new Notification(title, { body: clean(event.body).slice(0, 200), tag: room.name, icon: "page/icon.svg" });
  found.onclick = () => {
    window.focus();
    open(room);
    found.close();
  };
}
