// The board and the page of a visit, kept up to date. The server says "look",
// the page asks how things stand; somebody who is new among those who wait
// rings.
const live = document.getElementById("live");
const at = (id) => document.getElementById(id);
const title = document.title;
const quietFor = 10000; // between two rings
let source, sound, asking = false, again = false, rang = 0, seen = live.innerHTML.trim();
let known = new Set(names());

function names() { return (live.firstElementChild?.dataset.waiting ?? "").split(" ").filter(Boolean); }

// busy tells whether somebody is filling in the form that would be replaced.
function busy() { return live.contains(document.activeElement) && document.activeElement.matches("select, input, textarea, summary, details *"); }

async function look() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const query = new URLSearchParams(location.search);
    query.set("part", "");
    const answer = await fetch(`${location.pathname}?${query}`, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.status === 401 || answer.status === 404) { location.reload(); return; }
    if (answer.ok) { show(await answer.text()); at("offline").hidden = true; }
  } catch {
    at("offline").hidden = false; // the next look tries again
  } finally {
    asking = false;
    if (again) { again = false; look(); }
  }
}

// A click is not lost because the page changes under it.
let pressing = false, held;
live.addEventListener("pointerdown", () => { pressing = true; });
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => {
  pressing = false;
  if (held) show(held);
}));

function show(html) {
  held = pressing ? html : undefined;
  if (held) return;
  const fresh = document.createElement("template");
  fresh.innerHTML = html; // so that both are written the browser's way
  arrivals(fresh.content.firstElementChild);
  if (fresh.innerHTML.trim() === seen || busy()) return;
  const choices = new Map([...live.querySelectorAll("select")].filter((s) => s.dataset.chosen).map((s) => [s.id, s.value]));
  seen = fresh.innerHTML.trim();
  live.replaceChildren(fresh.content);
  for (const [id, value] of choices) if (at(id)) { at(id).value = value; at(id).dataset.chosen = "yes"; }
}

// arrivals rings for everybody who was not waiting before.
function arrivals(part) {
  const now = (part?.dataset.waiting ?? "").split(" ").filter(Boolean);
  const fresh = now.filter((id) => !known.has(id));
  known = new Set(now);
  document.title = now.length ? `(${now.length}) ${title}` : title;
  if (!fresh.length) return;
  const who = fresh.map((id) => part.querySelector(`[data-person="${CSS.escape(id)}"]`)?.textContent.trim()).filter(Boolean).join(", ");
  at("toast").querySelector("span").textContent = who;
  at("toast").hidden = false;
  clearTimeout(arrivals.timer);
  arrivals.timer = setTimeout(() => { at("toast").hidden = true; }, 20000);
  if (Date.now() - rang > quietFor) ring();
}

function ring() {
  rang = Date.now();
  if (sound?.state === "running") tone();
}

// tone is a door bell.
function tone() {
  [[784, 0], [587, 0.3]].forEach(([pitch, when]) => {
    const note = sound.createOscillator(), volume = sound.createGain(), from = sound.currentTime + when;
    note.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, from);
    volume.gain.exponentialRampToValueAtTime(0.3, from + 0.03);
    volume.gain.exponentialRampToValueAtTime(0.0001, from + 0.7);
    note.connect(volume).connect(sound.destination);
    note.start(from);
    note.stop(from + 0.75);
  });
}

const button = at("sound");
if (button && window.AudioContext) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    sound ??= new AudioContext();
    await sound.resume();
    button.textContent = button.dataset.pressed;
    button.setAttribute("aria-pressed", "true");
    tone();
  });
}

live.addEventListener("change", (event) => { event.target.dataset.chosen = "yes"; });

// A form that was sent decides what comes next.
let leaving = false;
document.addEventListener("submit", () => { leaving = true; });

// the call, when there is one
const room = at("room");
if (room) {
  const origin = new URL(room.src, location.href).origin;
  const over = () => { room.remove(); at("out").hidden = false; at("rejoin").focus(); };
  const on = { left: over, failed: over, ended() { if (!leaving) location.replace(at("call").dataset.back); } };
  addEventListener("message", (event) => {
    if (event.origin !== origin || event.source !== room.contentWindow || event.data?.source !== "jumpa-room") return;
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
addEventListener("offline", () => { at("offline").hidden = false; });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
addEventListener("pagehide", () => source?.close());
setInterval(() => { if (source.readyState === EventSource.CLOSED) listen(); look(); }, 30000);
listen();
