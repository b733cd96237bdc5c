// The board and the page of a visit. Somebody who is new among those who wait
// rings.
import { keep, bell } from "./live.js";

const live = document.getElementById("live");
const at = (id) => document.getElementById(id);
const title = document.title;
const quietFor = 10000; // between two rings
const door = bell([[784, 0], [587, 0.3]], 0.3);
const names = (part) => (part?.dataset.waiting ?? "").split(" ").filter(Boolean);

let source, rang = 0, fading, known = new Set(names(live.firstElementChild));
const look = keep({ part, busy, news, shown });

function part() {
  const query = new URLSearchParams(location.search);
  query.set("part", "");
  return `${location.pathname}?${query}`;
}

// busy tells whether somebody is filling in the form that would be replaced.
function busy() { return live.contains(document.activeElement) && document.activeElement.matches("select, input, textarea, summary, details *"); }

// news rings for everybody who was not waiting before.
function news(fresh) {
  const now = names(fresh), arrived = now.filter((id) => !known.has(id));
  known = new Set(now);
  document.title = now.length ? `(${now.length}) ${title}` : title;
  if (!arrived.length) return;
  const who = arrived.map((id) => fresh.querySelector(`[data-person="${CSS.escape(id)}"]`)?.textContent.trim()).filter(Boolean);
  at("toast").querySelector("span").textContent = who.join(", ");
  at("toast").hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { at("toast").hidden = true; }, 20000);
  if (Date.now() - rang < quietFor) return;
  rang = Date.now();
  door.ring();
}

// shown keeps what was chosen in a form that the new content has as well.
function shown(before) {
  for (const old of before.querySelectorAll("select[data-chosen]")) {
    const select = at(old.id);
    if (select) { select.value = old.value; select.dataset.chosen = "yes"; }
  }
}
live.addEventListener("change", (event) => { event.target.dataset.chosen = "yes"; });

// A form that was sent decides what comes next.
let leaving = false;
document.addEventListener("submit", () => { leaving = true; });

// the call, when there is one
const room = at("room");
if (room) {
  // out takes the room away, says why, and offers the way back; the visit goes on.
  const out = (why) => {
    room.remove();
    at("left").hidden = why !== "left";
    at("failed").hidden = why !== "failed";
    if (why === "left") at("tab")?.remove(); // the call did appear
    at("out").hidden = false;
    at("rejoin").focus();
  };
  const on = { left() { out("left"); }, failed() { out("failed"); }, ended() { if (!leaving) location.replace(at("call").dataset.back); } };
  if (room.dataset.script) import(room.dataset.module).then(({ embed }) => embed(room, on), on.failed);
  else addEventListener("message", (event) => {
    if (event.origin !== location.origin || event.source !== room.contentWindow || event.data?.source !== "jumpa-room") return;
    if (Object.hasOwn(on, event.data.event)) on[event.data.event]();
  });
}

function listen() {
  source?.close();
  source = new EventSource("/desk/events");
  source.addEventListener("look", look);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
addEventListener("online", () => { listen(); look(); });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
addEventListener("pagehide", () => source?.close());
setInterval(() => { if (source.readyState === EventSource.CLOSED) listen(); look(); }, 30000);
door.offer(at("sound"));
listen();
