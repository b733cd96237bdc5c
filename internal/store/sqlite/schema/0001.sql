-- Times are Unix microseconds, UTC; 0 is "not yet".

CREATE TABLE resource (
  rid          INTEGER PRIMARY KEY,
  type         TEXT    NOT NULL,
  id           TEXT    NOT NULL,
  version      INTEGER NOT NULL,
  updated      INTEGER NOT NULL,
  method       TEXT    NOT NULL,
  organization TEXT    NOT NULL,
  body         BLOB    NOT NULL,
  UNIQUE (type, id)
);
CREATE INDEX resource_updated ON resource (type, updated);
CREATE INDEX resource_changed ON resource (updated);
CREATE INDEX resource_created ON resource (type, rid, organization) WHERE method <> 'DELETE';
CREATE INDEX resource_owner ON resource (type, organization, rid) WHERE method <> 'DELETE';

-- Versions before the current one.
CREATE TABLE resource_version (
  rid     INTEGER NOT NULL,
  version INTEGER NOT NULL,
  type    TEXT    NOT NULL,
  updated INTEGER NOT NULL,
  method  TEXT    NOT NULL,
  body    BLOB    NOT NULL,
  UNIQUE (rid, version)
);
CREATE INDEX resource_version_updated ON resource_version (type, updated);

-- Under which values a resource is found. param is a number made of the type
-- and the parameter's name. An entry is removed by its whole key.
CREATE TABLE index_value (
  param INTEGER NOT NULL,
  value TEXT    NOT NULL,
  rid   INTEGER NOT NULL,
  PRIMARY KEY (param, value, rid)
) WITHOUT ROWID;

CREATE INDEX index_value_rid ON index_value (rid, param);

CREATE TABLE index_date (
  param INTEGER NOT NULL,
  low   INTEGER NOT NULL,
  high  INTEGER NOT NULL,
  rid   INTEGER NOT NULL,
  PRIMARY KEY (param, low, high, rid)
) WITHOUT ROWID;

CREATE INDEX index_date_rid ON index_date (rid, param);

-- Who refers to a record, whatever the parameter.
CREATE TABLE index_reference (
  value TEXT    NOT NULL,
  rid   INTEGER NOT NULL,
  param INTEGER NOT NULL,
  PRIMARY KEY (value, rid, param)
) WITHOUT ROWID;

-- Organisations that may see a record, beside its owner.
CREATE TABLE granted (
  rid          INTEGER NOT NULL,
  organization TEXT    NOT NULL,
  PRIMARY KEY (rid, organization)
) WITHOUT ROWID;
CREATE INDEX granted_organization ON granted (organization, rid);

CREATE TABLE session (
  token        TEXT PRIMARY KEY,
  room         TEXT NOT NULL UNIQUE,
  status       TEXT NOT NULL,
  service_type TEXT NOT NULL,
  organization TEXT NOT NULL,
  title        TEXT NOT NULL,
  created      INTEGER NOT NULL,
  activated    INTEGER NOT NULL,
  ended        INTEGER NOT NULL,
  closed       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_open_ending ON session (ended) WHERE status = 'ended' AND closed = 0;

CREATE TABLE consultation (
  appointment        TEXT PRIMARY KEY,
  encounter          TEXT NOT NULL,
  patient            TEXT NOT NULL,
  organization       TEXT NOT NULL,
  healthcare_service TEXT NOT NULL,
  service_type       TEXT NOT NULL,
  token              TEXT NOT NULL,
  state              TEXT NOT NULL,
  start_at           INTEGER NOT NULL,
  end_at             INTEGER NOT NULL,
  checked_in         INTEGER NOT NULL,
  ready              INTEGER NOT NULL,
  in_call            INTEGER NOT NULL,
  closed             INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX consultation_encounter ON consultation (encounter) WHERE encounter <> '';
CREATE INDEX consultation_token ON consultation (token) WHERE token <> '';
CREATE INDEX consultation_patient ON consultation (patient) WHERE patient <> '';
CREATE INDEX consultation_waiting ON consultation (healthcare_service, checked_in, appointment) WHERE state = 'waiting' AND service_type <> 'VCE';
CREATE INDEX consultation_due ON consultation (state, end_at) WHERE closed = 0;

CREATE TABLE booking (
  slot        TEXT NOT NULL,
  appointment TEXT NOT NULL,
  PRIMARY KEY (slot, appointment)
) WITHOUT ROWID;

CREATE TABLE call (
  room    TEXT PRIMARY KEY,
  people  INTEGER NOT NULL,
  state   BLOB NOT NULL,
  touched INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX call_people ON call (people) WHERE people > 0;

CREATE TABLE account (
  kind         TEXT NOT NULL,
  id           TEXT NOT NULL,
  login        TEXT NOT NULL,
  secret_hash  TEXT NOT NULL,
  name         TEXT NOT NULL,
  organization TEXT NOT NULL,
  scopes       TEXT NOT NULL,
  active       INTEGER NOT NULL,
  created      INTEGER NOT NULL,
  demo         INTEGER NOT NULL,
  PRIMARY KEY (kind, id),
  UNIQUE (kind, login)
) WITHOUT ROWID;

CREATE TABLE sign_in (
  hash    TEXT PRIMARY KEY,
  kind    TEXT NOT NULL,
  account TEXT NOT NULL,
  csrf    TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE one_time_code (
  kind      TEXT NOT NULL,
  login     TEXT NOT NULL,
  code_hash TEXT NOT NULL,
  expires   INTEGER NOT NULL,
  attempts  INTEGER NOT NULL,
  PRIMARY KEY (kind, login)
) WITHOUT ROWID;

CREATE TABLE notification (
  id              TEXT PRIMARY KEY,
  identity_number TEXT NOT NULL,
  title           TEXT NOT NULL,
  body            TEXT NOT NULL,
  token           TEXT NOT NULL,
  sender          TEXT NOT NULL,
  created         INTEGER NOT NULL,
  read_at         INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX notification_inbox ON notification (identity_number, created);

CREATE TABLE idempotent (
  principal TEXT NOT NULL,
  key       TEXT NOT NULL,
  response  BLOB NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (principal, key)
) WITHOUT ROWID;

-- Attempts to sign in, by a hash of who makes them, until they count no more.
CREATE TABLE attempts (
  key   TEXT PRIMARY KEY,
  until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX attempts_until ON attempts (until);

CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Results that are handed out page by page, each part a list of matches.
CREATE TABLE cursor (
  id      TEXT    NOT NULL,
  part    INTEGER NOT NULL,
  body    BLOB    NOT NULL,
  expires INTEGER NOT NULL,
  PRIMARY KEY (id, part)
) WITHOUT ROWID;
CREATE INDEX cursor_expires ON cursor (expires);

-- The outbox. seq follows the order of commits.
CREATE TABLE event (
  seq       INTEGER PRIMARY KEY AUTOINCREMENT,
  topic     TEXT NOT NULL,
  key       TEXT NOT NULL,
  number    INTEGER NOT NULL,
  headers   TEXT NOT NULL,
  value     BLOB NOT NULL,
  created   INTEGER NOT NULL,
  published INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX event_pending ON event (seq) WHERE published = 0;
CREATE INDEX event_published ON event (published) WHERE published > 0;

-- What nodes tell each other about changes, for a short while.
CREATE TABLE signal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  at  INTEGER NOT NULL
);
CREATE INDEX signal_at ON signal (at);

-- Events that the broker refuses, set aside under the seq that they had.
CREATE TABLE parked (
  seq       INTEGER PRIMARY KEY,
  topic     TEXT NOT NULL,
  key       TEXT NOT NULL,
  number    INTEGER NOT NULL,
  headers   TEXT NOT NULL,
  value     BLOB NOT NULL,
  created   INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  reason    TEXT NOT NULL
);

-- Where published events stand on the broker. Rows outlive their events, so
-- that a broker which has lost messages is noticed.
CREATE TABLE published (
  topic     TEXT NOT NULL,
  part      INTEGER NOT NULL,
  place     INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  PRIMARY KEY (topic, part, place)
) WITHOUT ROWID;
CREATE INDEX published_created ON published (topic, created);

-- The Subscriptions that are served, without what changes with each sending.
CREATE TABLE subscriber (
  id           TEXT PRIMARY KEY,
  organization TEXT NOT NULL,
  client       TEXT NOT NULL,
  scopes       TEXT NOT NULL,
  resource     TEXT NOT NULL,
  channel      TEXT NOT NULL,
  ordered      BLOB NOT NULL,
  status       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX subscriber_resource ON subscriber (resource, id) WHERE status <> 'off';

-- How far the notifications of a Subscription are. The number of its last
-- event is in counter, under 'subscription:' and its id.
CREATE TABLE progress (
  subscription TEXT PRIMARY KEY,
  done         INTEGER NOT NULL,
  failures     INTEGER NOT NULL,
  due          INTEGER NOT NULL,
  sent         INTEGER NOT NULL,
  holder       TEXT    NOT NULL,
  lease        INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX progress_holder ON progress (holder) WHERE holder <> '';

-- The events of a Subscription.
CREATE TABLE notice (
  subscription TEXT    NOT NULL,
  number       INTEGER NOT NULL,
  type         TEXT    NOT NULL,
  id           TEXT    NOT NULL,
  version      INTEGER NOT NULL,
  created      INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  PRIMARY KEY (subscription, number)
) WITHOUT ROWID;
CREATE INDEX notice_at ON notice (at);

CREATE TABLE audit (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  at           INTEGER NOT NULL,
  action       TEXT NOT NULL,
  operation    TEXT NOT NULL,
  agent_kind   TEXT NOT NULL,
  agent        TEXT NOT NULL,
  organization TEXT NOT NULL,
  target       TEXT NOT NULL,
  outcome      TEXT NOT NULL,
  trace        TEXT NOT NULL
);
CREATE INDEX audit_target ON audit (target);
CREATE INDEX audit_organization ON audit (organization);
