// The connection of one person to the room: signalling, media, recovery.
//
// The room offers, the page answers. When the network goes, the page comes back
// with its ticket by itself, for five minutes; the seat is kept for the first.

const retryDelays = [300, 1000, 2000, 3000, 5000];
const giveUpAfter = 5 * 60 * 1000;
const mediaPatience = 4000; // a wobble of the network is no loss
const offerPatience = 8000; // no offer after a restart: the socket is dead too
const blockedAfter = 40000; // signalling works, media does not: a firewall

// limits of what is sent, by the number of people who receive it.
const limits = [
  { upTo: 1, maxBitrate: 600000, scaleResolutionDownBy: 1, maxFramerate: 24 },
  { upTo: 3, maxBitrate: 350000, scaleResolutionDownBy: 1, maxFramerate: 20 },
  { upTo: 8, maxBitrate: 180000, scaleResolutionDownBy: 2, maxFramerate: 15 },
  { upTo: Infinity, maxBitrate: 100000, scaleResolutionDownBy: 2, maxFramerate: 12 },
];

export class Call {
  seat = ""; features = {}; people = []; removed = [];
  sending = { audio: false, video: false };
  receiveVideo = true;
  seatOfMid = new Map();
  #ws = null; #pc = null; #number = 0; #senders = {}; #work = Promise.resolve();
  #jwt; #ticket; #tracks = { audio: null, video: null };
  #over = false; #attempt = 0; #lostAt = 0; #timer = 0; #mediaTimer = 0; #mediaDown = 0;

  // on has: joined, changed, stream(seat, MediaStream), mute, declined(code, reason),
  // reconnecting, blocked, over(kind, code, way); keep(ticket) stores the ticket for a reload.
  constructor({ room, jwt, ticket, on, keep }) {
    this.room = room; this.on = on; this.keep = keep;
    this.#jwt = jwt; this.#ticket = ticket;
  }

  start() {
    if (!this.#jwt && !this.#ticket) { this.#finish("failed", "invalid"); return; }
    addEventListener("online", this.#hurry);
    addEventListener("offline", this.#drop);
    document.addEventListener("visibilitychange", this.#hurry);
    this.#connect();
  }

  // send shares tracks (null: nothing of that kind) and says so to the room.
  async send(tracks) {
    this.#tracks = tracks;
    this.sending = { audio: Boolean(tracks.audio), video: Boolean(tracks.video) };
    await this.#attach();
    this.#say({ type: "state", ...this.sending });
  }

  receive(video) {
    this.receiveVideo = video;
    this.#say({ type: "receive", video });
  }

  ask(type, seat) { this.#say({ type, seat }); }

  leave() {
    this.#say({ type: "leave" });
    this.#finish("left", "");
  }

  get mediaState() { return this.#pc ? this.#pc.connectionState : "new"; }

  #say(message) {
    if (this.#ws && this.#ws.readyState === WebSocket.OPEN) this.#ws.send(JSON.stringify(message));
  }

  #connect() {
    clearTimeout(this.#timer);
    const address = new URL(`/room/${this.room}/socket`, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const ws = new WebSocket(address);
    this.#ws = ws;
    ws.onopen = () => {
      const credential = this.#jwt ? { jwt: this.#jwt } : { ticket: this.#ticket };
      ws.send(JSON.stringify({ type: "enter", ...credential, ...this.sending }));
    };
    ws.onmessage = (event) => { if (ws === this.#ws) this.#take(JSON.parse(event.data)); };
    ws.onclose = () => { if (ws === this.#ws) this.#lost(); };
  }

  #take(message) {
    switch (message.type) {
      case "welcome": this.#welcome(message); break;
      case "ticket": this.#setTicket(message.ticket); break;
      case "people":
        this.people = message.people || [];
        this.removed = message.removed || [];
        this.#limit();
        this.on.changed();
        break;
      case "offer":
        this.#work = this.#work.then(() => this.#answer(message)).catch(() => this.#drop());
        break;
      case "mute": this.on.mute(); break;
      case "declined": this.on.declined(message.code, message.reason); break;
      case "refused": this.#refused(message.code); break;
      case "ended": case "removed": case "replaced": this.#finish(message.type, ""); break;
    }
  }

  #setTicket(ticket) {
    this.#ticket = ticket;
    this.keep(ticket);
  }

  #welcome(message) {
    this.#jwt = "";
    this.#attempt = 0; this.#lostAt = 0;
    this.seat = message.seat; this.features = message.features || {};
    this.#setTicket(message.ticket);
    if (!this.receiveVideo) this.receive(false);
    this.#say({ type: "state", ...this.sending });
    this.on.joined();
  }

  #refused(code) {
    if (this.#jwt && this.#ticket && code === "expired") {
      this.#jwt = ""; // the link is old, but this page was in the call already
      return;
    }
    if (code === "unavailable") return; // the close that follows tries again
    this.#finish(code === "ended" ? "ended" : "failed", code);
  }

  // #lost comes back: at once after a first wobble, then with growing pauses.
  #lost() {
    if (this.#over) return;
    this.#ws = null;
    const now = Date.now();
    if (!this.#lostAt) this.#lostAt = now;
    if (now - this.#lostAt > giveUpAfter) { this.#finish("failed", "lost"); return; }
    this.on.reconnecting();
    const delay = retryDelays[Math.min(this.#attempt++, retryDelays.length - 1)];
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  #hurry = () => {
    if (!this.#over && !this.#ws && document.visibilityState === "visible") this.#connect();
  };

  #drop = () => {
    const ws = this.#ws;
    if (!ws || this.#over) return;
    ws.onclose = null;
    ws.close();
    this.#lost();
  };

  #finish(kind, code) {
    if (this.#over) return;
    this.#over = true;
    removeEventListener("online", this.#hurry);
    removeEventListener("offline", this.#drop);
    document.removeEventListener("visibilitychange", this.#hurry);
    clearTimeout(this.#timer); clearTimeout(this.#mediaTimer);
    if (this.#ws) { this.#ws.onclose = null; this.#ws.close(); this.#ws = null; }
    if (this.#pc) this.#pc.close();
    const again = kind === "ended" || kind === "removed" ? "" : this.#ticket;
    this.keep("");
    this.on.over(kind, code, { jwt: this.#jwt, ticket: again });
  }

  async #answer({ connection, offer, sdp }) {
    const ws = this.#ws;
    if (!this.#pc || this.#number !== connection || this.#pc.socket !== ws) this.#open(connection, ws);
    const pc = this.#pc;
    await pc.setRemoteDescription({ type: "offer", sdp });
    if (!this.#senders.audio) {
      for (const t of pc.getTransceivers()) {
        if (t.mid !== "0" && t.mid !== "1") continue;
        t.direction = "sendrecv";
        this.#senders[t.mid === "0" ? "audio" : "video"] = t.sender;
      }
      await this.#attach();
    }
    const answer = await pc.createAnswer();
    await pc.setLocalDescription(answer);
    if (pc === this.#pc && ws === this.#ws) this.#say({ type: "answer", connection, offer, sdp: pc.localDescription.sdp });
    this.#limit();
  }

  #open(number, socket) {
    if (this.#pc) this.#pc.close();
    clearTimeout(this.#mediaTimer);
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    pc.socket = socket;
    this.#mediaDown ||= Date.now();
    this.#pc = pc; this.#number = number; this.#senders = {};
    this.seatOfMid.clear();
    pc.ontrack = (event) => {
      const [stream] = event.streams;
      if (!stream) return;
      this.seatOfMid.set(event.transceiver.mid, stream.id);
      this.on.stream(stream.id, stream);
    };
    pc.onconnectionstatechange = () => { if (pc === this.#pc) this.#watchMedia(pc.connectionState); };
  }

  // #watchMedia asks for a new media connection when this one is lost while
  // the socket still stands.
  #watchMedia(state) {
    clearTimeout(this.#mediaTimer);
    this.#mediaDown ||= Date.now();
    this.on.changed();
    if (state === "connected") this.#mediaDown = 0;
    if (this.#over || (state !== "disconnected" && state !== "failed")) return;
    if (Date.now() - this.#mediaDown > blockedAfter) this.on.blocked();
    this.#mediaTimer = setTimeout(() => {
      this.on.reconnecting();
      this.#say({ type: "restart" });
      this.#mediaTimer = setTimeout(this.#drop, offerPatience);
    }, state === "failed" ? 0 : mediaPatience);
  }

  async #attach() {
    for (const kind of ["audio", "video"]) {
      const sender = this.#senders[kind];
      if (sender && sender.track !== this.#tracks[kind]) await sender.replaceTrack(this.#tracks[kind]);
    }
  }

  async #limit() {
    const sender = this.#senders.video;
    if (!sender) return;
    const others = this.people.filter((p) => p.seat !== this.seat).length;
    const { upTo, ...limit } = limits.find((l) => others <= l.upTo);
    const parameters = sender.getParameters();
    if (!parameters.encodings || !parameters.encodings.length) return;
    const now = parameters.encodings[0];
    if (Object.keys(limit).every((k) => now[k] === limit[k])) return;
    Object.assign(now, limit);
    try { await sender.setParameters(parameters); } catch { /* a renegotiation came between; the next change sets it */ }
  }

  // stats sums up what getStats tells, in all and by the seat it comes from.
  async stats() {
    const sum = () => ({ framesDecoded: 0, audioBytesReceived: 0, videoBytesReceived: 0, packetsReceived: 0, packetsLost: 0 });
    const all = {
      seat: this.seat, state: this.mediaState, peers: this.people.filter((p) => p.seat !== this.seat).length,
      ...sum(), framesSent: 0, audioBytesSent: 0, videoBytesSent: 0, bySeat: {},
    };
    if (!this.#pc) return all;
    for (const r of (await this.#pc.getStats()).values()) {
      if (r.type === "outbound-rtp") {
        all.framesSent += r.framesSent || 0;
        all[r.kind + "BytesSent"] += r.bytesSent || 0;
      }
      if (r.type !== "inbound-rtp") continue;
      const seat = this.seatOfMid.get(r.mid) || "";
      all.bySeat[seat] ||= sum();
      for (const to of [all, all.bySeat[seat]]) {
        to.framesDecoded += r.framesDecoded || 0;
        to[r.kind + "BytesReceived"] += r.bytesReceived || 0;
        to.packetsReceived += r.packetsReceived || 0;
        to.packetsLost += Math.max(0, r.packetsLost || 0);
      }
    }
    return all;
  }

  // levels gives how loud each seat is now, from 0 to 1.
  levels() {
    const loud = new Map();
    if (!this.#pc) return loud;
    for (const t of this.#pc.getTransceivers()) {
      if (t.receiver.track.kind !== "audio") continue;
      const [source] = t.receiver.getSynchronizationSources();
      if (source && source.audioLevel) loud.set(this.seatOfMid.get(t.mid), source.audioLevel);
    }
    return loud;
  }
}
