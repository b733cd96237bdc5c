// A call of a Jitsi deployment on our page, by its IFrame API.

// settings gives the options that the address of a call has in its fragment:
// "config.a.b=true" becomes {a: {b: true}}.
function settings(fragment) {
  const config = {};
  for (const [name, value] of fragment) {
    if (!name.startsWith("config.")) continue;
    const keys = name.split(".").slice(1), last = keys.pop();
    let part = config;
    for (const key of keys) part = part[key] ??= {};
    part[last] = JSON.parse(value);
  }
  return config;
}

// join opens the call in place.
function join(place, on) {
  const address = new URL(place.dataset.address);
  const fragment = new URLSearchParams(address.hash.slice(1));
  const api = new JitsiMeetExternalAPI(address.host, {
    roomName: address.pathname.slice(1), parentNode: place, width: "100%", height: "100%",
    jwt: JSON.parse(fragment.get("jwt")), lang: address.searchParams.get("lang"), configOverwrite: settings(fragment),
  });
  const frame = place.querySelector("iframe");
  if (frame) frame.title = place.dataset.title;
  api.addListener("videoConferenceJoined", () => on.joined?.());
  api.addListener("videoConferenceLeft", () => on.reconnecting?.()); // hung up, or the connection is gone
  api.addListener("readyToClose", () => on.left());
  api.addListener("errorOccurred", (event) => {
    const problem = event?.error ?? event;
    if (problem?.name === "conference.destroyed") on.ended(); // by the exchange
    else if (problem?.isFatal) on.failed();
  });
}

// embed opens the call of place, an element with the address of the call, that
// of the IFrame API and a title. on has what follows: joined, reconnecting,
// left, failed, ended. What the browser tells is shown and proves nothing.
export function embed(place, on) {
  const script = document.createElement("script");
  script.src = place.dataset.script;
  script.onload = () => { try { join(place, on); } catch { on.failed(); } };
  script.onerror = () => on.failed();
  document.head.append(script);
}
