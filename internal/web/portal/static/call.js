// The page around the video call: who is there, and the way back in.
const page = document.getElementById("call");
const room = document.getElementById("room");
const at = (id) => document.getElementById(id);
let source, asking = false;

function connected(yes) { at("connecting").hidden = yes; at("joined").hidden = !yes; }

const on = {
  joined() { connected(true); },
  reconnecting() { connected(false); },
  left() { out("left"); },
  failed() { out("failed"); },
  ended() { location.replace(page.dataset.back); },
};

if (room.dataset.script) {
  // Whoever hangs up is back at the appointment, from which the call can be joined again.
  import(room.dataset.module).then(({ embed }) => embed(room, { ...on, left: on.ended }), on.failed);
} else {
  addEventListener("message", (event) => {
    if (event.origin !== location.origin || event.source !== room.contentWindow || event.data?.source !== "jumpa-room") return;
    if (Object.hasOwn(on, event.data.event)) on[event.data.event]();
  });
}

// out takes the room away and offers the way back; the visit goes on.
function out(why) {
  room.remove();
  at("connecting").hidden = at("joined").hidden = true;
  at("left").hidden = why !== "left";
  at("failed").hidden = why !== "failed";
  at("out").hidden = false;
  at("rejoin").focus();
}

async function look() {
  if (asking) return;
  asking = true;
  try {
    const answer = await fetch(page.dataset.present, { cache: "no-store" });
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) return;
    const fresh = document.createElement("template");
    fresh.innerHTML = await answer.text();
    if (at("present").innerHTML.trim() !== fresh.innerHTML.trim()) at("present").replaceChildren(fresh.content);
    const phase = at("present").querySelector("[data-phase]")?.dataset.phase;
    if (!["ready", "incall"].includes(phase)) location.replace(page.dataset.back);
  } catch { /* the next look tries again */ } finally { asking = false; }
}

function listen() {
  source?.close();
  source = new EventSource(page.dataset.events);
  source.addEventListener("look", look);
}

addEventListener("online", () => { listen(); look(); });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
addEventListener("pagehide", () => source?.close());
setInterval(() => { if (source.readyState === EventSource.CLOSED) listen(); look(); }, 15000);
listen();
