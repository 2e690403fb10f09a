// What the browser keeps for next time: `kept` for this browser, `tab` for this tab only. Without storage all is forgotten.

const PREFIX = "chatd.";

function storage(find) {
  const read = (name, fallback) => {
    try {
      return JSON.parse(find().getItem(PREFIX + name)) ?? fallback;
    } catch {
      return fallback;
    }
  };
  const write = (name, value) => {
    try {
      if (value === null) find().removeItem(PREFIX + name);
      else find().setItem(PREFIX + name, JSON.stringify(value));
    } catch {
      // Private windows and full disks: it lasts as long as the page.
    }
  };
  return { read, write };
}

export const kept = storage(() => localStorage);
export const tab = storage(() => sessionStorage);
