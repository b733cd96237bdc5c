// Plays Jitsi's IFrame API from its documentation: a frame in the place that
// the page names, and events.
(() => {
  const options = ["roomName", "width", "height", "parentNode", "jwt", "lang", "userInfo", "configOverwrite",
    "interfaceConfigOverwrite", "devices", "invitees", "onload", "sandbox"];
  window.JitsiMeetExternalAPI = class {
    constructor(domain, given) {
      for (const name of Object.keys(given)) if (!options.includes(name)) throw new Error(`there is no option ${name}`);
      window.jitsi = this;
      this.domain = domain;
      this.given = given;
      this.listeners = new Map();
      this.frame = document.createElement("iframe");
      this.frame.allow = "camera; microphone; display-capture; autoplay";
      this.frame.style.width = given.width;
      this.frame.style.height = given.height;
      this.frame.src = `${new URL(document.querySelector("script[src$='external_api.js']").src).protocol}//${domain}/${given.roomName}#jwt=${given.jwt}`;
      this.frame.onload = () => this.tell("videoConferenceJoined", { roomName: given.roomName });
      given.parentNode.append(this.frame);
    }
    addListener(name, listener) { this.listeners.set(name, [...(this.listeners.get(name) ?? []), listener]); }
    tell(name, event) { for (const listener of this.listeners.get(name) ?? []) listener(event); }
    dispose() { this.frame.remove(); }
  };
})();
