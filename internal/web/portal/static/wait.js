// The page of an appointment, from check-in to the rating.
import { keep, bell } from "./live.js";

const live = document.getElementById("live");
const said = document.getElementById("say");
const closed = ["finished", "cancelled", "noshow", "abandoned"];
const chime = bell([[660, 0], [880, 0.25]]);

let source, lock, opening;
const root = () => live.firstElementChild; // says the phase
const look = keep({ part: () => location.pathname + "?part", shown });

function shown(before, inside) {
  settle();
  const now = root().dataset.phase, big = live.querySelector(".big")?.textContent ?? "";
  if (now === before.dataset.phase) { said.textContent = big; return; }
  document.title = root().dataset.title;
  said.textContent = live.querySelector("h1").textContent + ". " + big;
  if (inside) (document.getElementById("join") ?? document.getElementById("main")).focus();
  if (now === "ready") { navigator.vibrate?.([200, 100, 200]); chime.ring(); }
}

// settle does what each new content needs.
function settle() {
  chime.offer(document.getElementById("sound"));
  clearTimeout(opening);
  const seconds = Number(root().dataset.in);
  if (seconds) opening = setTimeout(look, seconds * 1000);
  if (closed.includes(root().dataset.phase)) source?.close();
  stayAwake();
}

async function stayAwake() {
  const wanted = ["waiting", "ready"].includes(root().dataset.phase);
  try {
    if (wanted && !document.hidden && (!lock || lock.released)) lock = await navigator.wakeLock?.request("screen");
    else if (!wanted) { await lock?.release(); lock = undefined; }
  } catch { /* a wish, not a need */ }
}

function listen() {
  source?.close();
  if (closed.includes(root().dataset.phase)) return;
  source = new EventSource(location.pathname + "/events");
  source.addEventListener("look", look);
}

function comeBack() {
  if (document.hidden) return;
  if (!source || source.readyState === EventSource.CLOSED) listen();
  look();
  stayAwake();
}

document.addEventListener("visibilitychange", comeBack);
addEventListener("online", () => { listen(); look(); });
addEventListener("pageshow", (event) => { if (event.persisted) { listen(); look(); } });
addEventListener("pagehide", () => source?.close());
setInterval(() => {
  if (closed.includes(root().dataset.phase)) return;
  if (!source || source.readyState === EventSource.CLOSED) { listen(); look(); } else if (source.readyState === EventSource.CONNECTING) look();
}, 10000);
settle();
listen();
